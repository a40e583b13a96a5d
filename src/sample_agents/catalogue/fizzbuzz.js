// FizzBuzz.
// `node fizzbuzz.js` runs an example, `node fizzbuzz.js test` the tests.
"use strict";

const assert = require("node:assert");

/** Returns FizzBuzz from 1 to `limit`. */
function fizzbuzz(limit) {
  return Array.from({ length: limit }, (_, index) => fizzbuzzWord(index + 1));
}

/** Returns `Fizz` for multiples of 3, `Buzz` for 5, `FizzBuzz` for both, otherwise the number. */
function fizzbuzzWord(number) {
  const word = (number % 3 === 0 ? "Fizz" : "") + (number % 5 === 0 ? "Buzz" : "");
  return word || String(number);
}

/** Checks what must hold. */
function test() {
  assert.strictEqual(fizzbuzz(15).join(" "), "1 2 Fizz 4 Buzz Fizz 7 8 Fizz Buzz 11 Fizz 13 14 FizzBuzz");
  assert.deepStrictEqual(fizzbuzz(0), []);
  console.log("all tests passed");
}

module.exports = { fizzbuzz };

if (require.main === module) {
  if (process.argv[2] === "test") {
    test();
  } else {
    console.log(fizzbuzz(30).join("\n"));
  }
}
