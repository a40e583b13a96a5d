//! Well-known small programs the build agent can write correctly without a model, each with its tests.
//!
//! The programs are real files under `catalogue/`; the Rust ones are compiled and run with this crate's own tests.

/// One task and its programs.
#[derive(Debug)]
pub(super) struct Entry {
    /// Short name, also the file stem.
    pub(super) id: &'static str,
    /// The main function's name in Python and Rust.
    pub(super) function: &'static str,
    /// What the programs do, in a sentence.
    pub(super) what: &'static str,
    /// Groups of words; the task is meant when one word of each group is in the request.
    cues: &'static [&'static [&'static str]],
    /// What a correct program does, as criteria.
    pub(super) criteria: &'static [&'static str],
    python: &'static str,
    rust: &'static str,
    javascript: &'static str,
}

impl Entry {
    /// The program in this language, if there is one.
    pub(super) fn program(&self, language: &str) -> Option<&'static str> {
        match language {
            "python" => Some(self.python),
            "rust" => Some(self.rust),
            "javascript" => Some(self.javascript),
            _ => None,
        }
    }
}

macro_rules! entry {
    ($id:literal, $function:literal, $what:literal, $cues:expr, $criteria:expr) => {
        Entry {
            id: $id,
            function: $function,
            what: $what,
            cues: $cues,
            criteria: $criteria,
            python: include_str!(concat!("catalogue/", $id, ".py")),
            rust: include_str!(concat!("catalogue/", $id, ".rs")),
            javascript: include_str!(concat!("catalogue/", $id, ".js")),
        }
    };
}

/// More special tasks come first: a request for a binary search in a sorted list is not one for sorting.
static ENTRIES: &[Entry] = &[
    entry!(
        "binary_search",
        "binary_search",
        "finds a value in a sorted list by halving",
        &[&["binary", "bisect", "bisection"], &["search", "searching", "find", "bisect", "bisection"]],
        &["Returns the index of the value when it is there", "Says that it is absent otherwise, also for an empty list"]
    ),
    entry!(
        "fizzbuzz",
        "fizzbuzz",
        "lists FizzBuzz from 1 to a limit",
        &[&["fizzbuzz", "fizz", "fizz-buzz"]],
        &["Multiples of 3 become Fizz, of 5 Buzz, of both FizzBuzz", "Every other number stays as it is"]
    ),
    entry!(
        "primes",
        "primes_up_to",
        "lists prime numbers with a sieve and tests single numbers",
        &[&["prime", "primes", "primality"]],
        &["2 is the smallest prime; 0, 1 and negative numbers are none", "Every prime up to the limit is listed once, in order"]
    ),
    entry!(
        "fibonacci",
        "fibonacci",
        "calculates Fibonacci numbers iteratively",
        &[&["fibonacci", "fib"]],
        &["The sequence starts 0, 1, 1, 2, 3, 5", "A negative index is refused"]
    ),
    entry!(
        "factorial",
        "factorial",
        "calculates factorials",
        &[&["factorial", "factorials"]],
        &["The factorial of 0 is 1", "A negative number is refused"]
    ),
    entry!(
        "gcd",
        "gcd",
        "calculates the greatest common divisor and the least common multiple",
        &[&["gcd", "lcm", "divisor", "euclid", "euclidean"]],
        &["The divisor of a number and 0 is that number", "Signs do not matter"]
    ),
    entry!(
        "palindrome",
        "is_palindrome",
        "tells palindromes, ignoring case, blanks and punctuation",
        &[&["palindrome", "palindromes", "palindromic"]],
        &["Case, blanks and punctuation do not matter", "A text of one letter is a palindrome"]
    ),
    entry!(
        "word_count",
        "word_count",
        "counts how often each word occurs",
        &[&["word", "words"], &["count", "counts", "counting", "counter", "frequency", "frequencies", "occurrences"]],
        &["Upper and lower case count as the same word", "The most frequent word comes first; ties are in alphabetical order"]
    ),
    entry!(
        "reverse_string",
        "reverse_string",
        "reverses a text",
        &[&["reverse", "reverses", "reversing", "reversed"], &["string", "strings", "text", "word", "words"]],
        &["The last character comes first", "An empty text stays empty"]
    ),
    entry!(
        "sorting",
        "merge_sort",
        "sorts a list with merge sort",
        &[&["sort", "sorts", "sorting", "quicksort", "mergesort", "merge-sort"]],
        &["The result holds the same elements in ascending order", "The input is left unchanged"]
    ),
];

/// The task that these words (in lower case) ask for.
pub(super) fn find(words: &[String]) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.cues.iter().all(|group| words.iter().any(|word| group.contains(&word.as_str()))))
}

/// The Rust programs are part of this crate's tests, so that what the agent hands out is known to work.
#[cfg(test)]
#[path = "catalogue"]
mod programs {
    macro_rules! program {
        ($($name:ident: $path:literal),*) => {
            $(#[path = $path] #[expect(dead_code, clippy::print_stdout, reason = "a whole program, of which only the tests run here")] mod $name;)*
        };
    }
    program!(
        binary_search: "binary_search.rs", fizzbuzz: "fizzbuzz.rs", primes: "primes.rs", fibonacci: "fibonacci.rs", factorial: "factorial.rs",
        gcd: "gcd.rs", palindrome: "palindrome.rs", word_count: "word_count.rs", reverse_string: "reverse_string.rs", sorting: "sorting.rs"
    );
}
