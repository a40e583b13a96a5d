// Factorials.
// `node factorial.js` runs an example, `node factorial.js test` the tests.
"use strict";

const assert = require("node:assert");

/** Returns the product of all integers from 1 to `number` as a BigInt; the factorial of 0 is 1. */
function factorial(number) {
  if (!Number.isInteger(number) || number < 0) {
    throw new RangeError("number must be an integer of 0 or more");
  }
  let product = 1n;
  for (let factor = 2n; factor <= BigInt(number); factor += 1n) {
    product *= factor;
  }
  return product;
}

/** Checks what must hold. */
function test() {
  const values = [0, 1, 2, 3, 4, 5, 6].map((number) => Number(factorial(number)));
  assert.deepStrictEqual(values, [1, 1, 2, 6, 24, 120, 720]);
  assert.strictEqual(factorial(20), 2432902008176640000n);
  assert.throws(() => factorial(-1), RangeError);
  console.log("all tests passed");
}

module.exports = { factorial };

if (require.main === module) {
  if (process.argv[2] === "test") {
    test();
  } else {
    console.log(`10! = ${factorial(10)}`);
  }
}
