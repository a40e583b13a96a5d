// __WHAT__
//
// A skeleton: `__FUNCTION__` has its place, its work is still to be written.
__CRITERIA__"use strict";

/** __WHAT__ */
function __FUNCTION__(input) {
  throw new Error(`__FUNCTION__ is not written yet; it got ${input.length} characters`);
}

module.exports = { __FUNCTION__ };

if (require.main === module) {
  try {
    console.log(__FUNCTION__(process.argv.slice(2).join(" ")));
  } catch (error) {
    console.error(error.message);
  }
}
