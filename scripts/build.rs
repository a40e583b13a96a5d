//! The build script: gives the linker of a release build the list of functions to place beside each other.
//!
//! `gantry serve` runs a tenth of the program when it starts. Scattered over all of it, this tenth makes the system keep most of the
//! program in memory; beside each other, less than a third of that. `scripts/order_functions.py` writes the list.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=scripts/build.rs");
    println!("cargo::rerun-if-changed=scripts/functions.ld");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|it| it == value);
    // The list has the names that this target's compiler gives. It is a script for the toolchain's own linker, or GNU's; who has chosen
    // another one does without.
    let target = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") && is("CARGO_CFG_TARGET_ARCH", "x86_64");
    let own_linker = env::var_os("RUSTC_LINKER").is_none()
        && env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| !flags.contains("link-arg") && !flags.contains("linker"));
    if target && own_linker && is("PROFILE", "release") {
        let list = env::current_dir().expect("cargo runs this in the package's directory").join("scripts/functions.ld");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", list.display());
    }
}
