// Binary search.
// `node binary_search.js` runs an example, `node binary_search.js test` the tests.
"use strict";

const assert = require("node:assert");

/** Returns an index of `wanted` in the sorted array `values`, or -1 if it is not there. */
function binarySearch(values, wanted) {
  let [low, high] = [0, values.length - 1];
  while (low <= high) {
    const middle = Math.floor((low + high) / 2);
    if (values[middle] === wanted) return middle;
    if (values[middle] < wanted) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

/** Checks what must hold. */
function test() {
  const values = [1, 3, 5, 7, 9, 11];
  values.forEach((value, index) => assert.strictEqual(binarySearch(values, value), index));
  for (const wanted of [0, 4, 12]) assert.strictEqual(binarySearch(values, wanted), -1);
  assert.strictEqual(binarySearch([], 1), -1);
  console.log("all tests passed");
}

module.exports = { binarySearch };

if (require.main === module) {
  if (process.argv[2] === "test") {
    test();
  } else {
    console.log(binarySearch([2, 3, 5, 7, 11, 13], 7));
  }
}
