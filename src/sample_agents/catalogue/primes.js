// Prime numbers.
// `node primes.js` runs an example, `node primes.js test` the tests.
"use strict";

const assert = require("node:assert");

/** Returns every prime number up to and including `limit`, in order (sieve of Eratosthenes). */
function primesUpTo(limit) {
  const isComposite = new Array(Math.max(limit + 1, 0)).fill(false);
  const primes = [];
  for (let number = 2; number <= limit; number += 1) {
    if (isComposite[number]) continue;
    primes.push(number);
    for (let multiple = number * number; multiple <= limit; multiple += number) {
      isComposite[multiple] = true;
    }
  }
  return primes;
}

/** Returns whether `number` is prime, by trial division up to its square root. */
function isPrime(number) {
  if (!Number.isInteger(number) || number < 2) return false;
  for (let factor = 2; factor * factor <= number; factor += 1) {
    if (number % factor === 0) return false;
  }
  return true;
}

/** Checks what must hold. */
function test() {
  assert.deepStrictEqual(primesUpTo(1), []);
  assert.deepStrictEqual(primesUpTo(-5), []);
  assert.deepStrictEqual(primesUpTo(29), [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
  const tested = Array.from({ length: 501 }, (_, number) => number).filter(isPrime);
  assert.deepStrictEqual(primesUpTo(500), tested);
  console.log("all tests passed");
}

module.exports = { primesUpTo, isPrime };

if (require.main === module) {
  if (process.argv[2] === "test") {
    test();
  } else {
    console.log(primesUpTo(100).join(" "));
  }
}
