// Fibonacci numbers.
// `node fibonacci.js` runs an example, `node fibonacci.js test` the tests.
"use strict";

const assert = require("node:assert");

/** Returns the Fibonacci number at `index` as a BigInt, where index 0 is 0 and index 1 is 1. */
function fibonacci(index) {
  if (!Number.isInteger(index) || index < 0) {
    throw new RangeError("index must be an integer of 0 or more");
  }
  let [current, following] = [0n, 1n];
  for (let step = 0; step < index; step += 1) {
    [current, following] = [following, current + following];
  }
  return current;
}

/** Checks what must hold. */
function test() {
  const numbers = Array.from({ length: 10 }, (_, index) => Number(fibonacci(index)));
  assert.deepStrictEqual(numbers, [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]);
  assert.strictEqual(fibonacci(100), 354224848179261915075n);
  assert.throws(() => fibonacci(-1), RangeError);
  console.log("all tests passed");
}

module.exports = { fibonacci };

if (require.main === module) {
  if (process.argv[2] === "test") {
    test();
  } else {
    console.log(Array.from({ length: 20 }, (_, index) => fibonacci(index)).join(" "));
  }
}
