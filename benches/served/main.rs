//! What a served run costs beside servers that make the same calls without an engine: `cargo bench --bench served`.
//!
//! `gantry serve` and two servers of our own (`raw.rs`: one bare, one with a journal) are processes beside each other and call the same
//! stub agent, each request over JSON-RPC. Every measurement is made in turn for all of them, several rounds; medians are printed, and
//! the ratios that count. `--json` prints one object instead. A name as argument measures only what has it in its name; `--runs N` sets how many runs a round of many
//! at once has.

mod measures;
mod overload;
mod process;
mod raw;
mod stub;

use std::path::Path;

/// As the gantry binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let after = |flag: &str| arguments.iter().position(|argument| argument == flag).and_then(|at| arguments.get(at + 1));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if arguments.iter().any(|argument| argument == "--stub") {
        return runtime.block_on(stub::serve());
    }
    if let Some(agent) = after("--raw") {
        return runtime.block_on(raw::serve(agent, after("--journal").map(Path::new)));
    }
    let wish = measures::Wish {
        // `cargo test --benches` runs this too: one quick round proves that it works.
        quick: !arguments.iter().any(|argument| argument == "--bench"),
        json: arguments.iter().any(|argument| argument == "--json"),
        runs: after("--runs").map(|count| count.parse()).transpose()?,
        only: arguments
            .iter()
            .enumerate()
            .find(|(at, word)| !word.starts_with("--") && (*at == 0 || arguments[at - 1] != "--runs"))
            .map(|(_, word)| word.clone()),
    };
    runtime.block_on(measures::all(&wish))
}

#[expect(clippy::print_stdout, reason = "the parent process reads the address here")]
fn announce(url: &str) {
    println!("{url}");
}
