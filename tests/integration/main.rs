//! Black-box tests: one module for each module of the library.

mod workflow;
