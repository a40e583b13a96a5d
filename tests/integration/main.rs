//! Black-box tests: HTTP in and HTTP out, YAML in and results out.

#[cfg(test)]
mod registry;
