// Merge sort.
// `node sorting.js` runs an example, `node sorting.js test` the tests.
"use strict";

const assert = require("node:assert");

/** Returns a new array with `values` in ascending order. Stable; takes O(n log n) comparisons. */
function mergeSort(values) {
  if (values.length < 2) return [...values];
  const middle = Math.floor(values.length / 2);
  return merge(mergeSort(values.slice(0, middle)), mergeSort(values.slice(middle)));
}

/** Returns one sorted array of two sorted arrays. */
function merge(left, right) {
  const merged = [];
  let [leftIndex, rightIndex] = [0, 0];
  while (leftIndex < left.length && rightIndex < right.length) {
    if (right[rightIndex] < left[leftIndex]) {
      merged.push(right[rightIndex]);
      rightIndex += 1;
    } else {
      merged.push(left[leftIndex]);
      leftIndex += 1;
    }
  }
  return [...merged, ...left.slice(leftIndex), ...right.slice(rightIndex)];
}

/** Checks what must hold. */
function test() {
  assert.deepStrictEqual(mergeSort([5, -1, 3, 3, 0]), [-1, 0, 3, 3, 5]);
  assert.deepStrictEqual(mergeSort(["pear", "apple"]), ["apple", "pear"]);
  assert.deepStrictEqual(mergeSort([]), []);
  const values = [2, 1];
  mergeSort(values);
  assert.deepStrictEqual(values, [2, 1]);
  console.log("all tests passed");
}

module.exports = { mergeSort };

if (require.main === module) {
  if (process.argv[2] === "test") {
    test();
  } else {
    console.log(mergeSort([38, 27, 43, 3, 9, 82, 10]).join(" "));
  }
}
