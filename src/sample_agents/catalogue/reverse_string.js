// Reversing text.
// `node reverse_string.js` runs an example, `node reverse_string.js test` the tests.
"use strict";

const assert = require("node:assert");

/** Returns `text` with its characters in reverse order. */
function reverseString(text) {
  return [...text].reverse().join("");
}

/** Returns `text` with its words in reverse order, separated by single blanks. */
function reverseWords(text) {
  return text.split(/\s+/u).filter(Boolean).reverse().join(" ");
}

/** Checks what must hold. */
function test() {
  assert.strictEqual(reverseString("abc"), "cba");
  assert.strictEqual(reverseString(""), "");
  assert.strictEqual(reverseWords("one  two three"), "three two one");
  console.log("all tests passed");
}

module.exports = { reverseString, reverseWords };

if (require.main === module) {
  if (process.argv[2] === "test") {
    test();
  } else {
    console.log(reverseString("Hello, world"));
  }
}
