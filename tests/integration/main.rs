//! Black-box tests: HTTP in, HTTP out.

mod sample_agents;
