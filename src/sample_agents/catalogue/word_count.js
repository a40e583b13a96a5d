// Word counts.
// `node word_count.js` runs an example, `node word_count.js test` the tests.
"use strict";

const assert = require("node:assert");

/** Returns [word, count] pairs, most frequent first, ties in alphabetical order; case is ignored. */
function wordCount(text) {
  const counts = new Map();
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+(?:'[\p{L}\p{N}]+)*/gu) ?? []) {
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return [...counts].sort(([word, count], [otherWord, otherCount]) => otherCount - count || (word < otherWord ? -1 : 1));
}

/** Checks what must hold. */
function test() {
  assert.deepStrictEqual(wordCount("The cat, the DOG and the cat."), [["the", 3], ["cat", 2], ["and", 1], ["dog", 1]]);
  assert.deepStrictEqual(wordCount("don't - don't"), [["don't", 2]]);
  assert.deepStrictEqual(wordCount(" - "), []);
  console.log("all tests passed");
}

module.exports = { wordCount };

if (require.main === module) {
  if (process.argv[2] === "test") {
    test();
  } else {
    for (const [word, count] of wordCount("to be or not to be")) console.log(`${count} ${word}`);
  }
}
