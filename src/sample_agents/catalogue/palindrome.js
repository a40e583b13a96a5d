// Palindromes.
// `node palindrome.js` runs an example, `node palindrome.js test` the tests.
"use strict";

const assert = require("node:assert");

/** Returns whether `text` reads the same backwards, ignoring case, blanks and punctuation. */
function isPalindrome(text) {
  const letters = [...text.toLowerCase()].filter((character) => /[\p{L}\p{N}]/u.test(character));
  return letters.join("") === letters.reverse().join("");
}

/** Checks what must hold. */
function test() {
  for (const text of ["level", "A man, a plan, a canal: Panama", "x", ""]) {
    assert.ok(isPalindrome(text), text);
  }
  for (const text of ["node", "ab", "12 13"]) {
    assert.ok(!isPalindrome(text), text);
  }
  console.log("all tests passed");
}

module.exports = { isPalindrome };

if (require.main === module) {
  if (process.argv[2] === "test") {
    test();
  } else {
    console.log(isPalindrome("A man, a plan, a canal: Panama"));
  }
}
