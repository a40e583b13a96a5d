// Greatest common divisor and least common multiple.
// `node gcd.js` runs an example, `node gcd.js test` the tests.
"use strict";

const assert = require("node:assert");

/** Returns the greatest common divisor of two integers (Euclid's algorithm); never negative. */
function gcd(left, right) {
  let [larger, smaller] = [Math.abs(left), Math.abs(right)];
  while (smaller !== 0) {
    [larger, smaller] = [smaller, larger % smaller];
  }
  return larger;
}

/** Returns the least common multiple of two integers; 0 if one of them is 0. */
function lcm(left, right) {
  if (left === 0 || right === 0) return 0;
  return Math.abs((left / gcd(left, right)) * right);
}

/** Checks what must hold. */
function test() {
  assert.strictEqual(gcd(48, 18), 6);
  assert.strictEqual(gcd(-18, 48), 6);
  assert.strictEqual(gcd(7, 0), 7);
  assert.strictEqual(lcm(4, 6), 12);
  assert.strictEqual(lcm(0, 5), 0);
  console.log("all tests passed");
}

module.exports = { gcd, lcm };

if (require.main === module) {
  if (process.argv[2] === "test") {
    test();
  } else {
    console.log(`gcd(48, 18) = ${gcd(48, 18)}, lcm(4, 6) = ${lcm(4, 6)}`);
  }
}
