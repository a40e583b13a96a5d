//! __WHAT__
//!
//! A skeleton: `__FUNCTION__` has its place, its work is still to be written.
__CRITERIA__
/// __WHAT__
///
/// # Errors
/// Says that the work is not written yet.
fn __FUNCTION__(input: &str) -> Result<String, String> {
    Err(format!("__FUNCTION__ is not written yet; it got {} bytes", input.len()))
}

fn main() {
    let input = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    match __FUNCTION__(&input) {
        Ok(output) => println!("{output}"),
        Err(error) => eprintln!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_that_it_is_not_written() {
        assert!(__FUNCTION__("").is_err());
    }
}
