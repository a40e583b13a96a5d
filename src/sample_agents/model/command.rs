//! Asks a program: prompt on standard input or as last argument, answer on standard output.
//!
//! No shell is involved. The program is killed when its answer is no longer wanted.

use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, Command};

use super::super::options;
use super::super::words::shorten;
use super::prompt::Prompt;
use crate::limits;

/// Characters of the error output that an error repeats.
const STDERR_CHARS_MAX: usize = 300;

/// A program that answers prompts.
pub(super) struct Program {
    name: String,
    arguments: Vec<String>,
    prompt: options::Prompt,
}

impl Program {
    /// A program and its arguments.
    pub(super) fn new(argv: Vec<String>, prompt: options::Prompt) -> Result<Self, String> {
        let mut parts = argv.into_iter();
        let name = parts.next().filter(|name| !name.is_empty()).ok_or("the command names no program")?;
        Ok(Self { name, arguments: parts.collect(), prompt })
    }

    /// Runs the program once. Dropping the future kills it.
    pub(super) async fn ask(&self, prompt: &Prompt) -> Result<String, String> {
        let text = prompt.whole();
        let mut command = Command::new(&self.name);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        match self.prompt {
            options::Prompt::Stdin => command.stdin(Stdio::piped()),
            // A prompt may start with a dash; it is ours up to the input, and starts with a letter.
            options::Prompt::Argument => command.arg(&text),
        };
        let mut child = command.spawn().map_err(|error| format!("cannot start the program: {error}"))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else { return Err("the program has no output".to_owned()) };
        let ((), answer, complaint) = tokio::join!(write(stdin, text.as_bytes()), read(stdout), first_of(stderr));
        let answer = answer?;
        let status = child.wait().await.map_err(|error| format!("cannot tell how the program ended: {error}"))?;
        if !status.success() {
            return Err(format!("the program ended with {status}: {}", shorten(complaint.trim(), STDERR_CHARS_MAX)));
        }
        String::from_utf8(answer).map_err(|_| "the answer is not UTF-8 text".to_owned())
    }
}

/// A program need not read its input to the end, so that a closed pipe is no error.
async fn write(stdin: Option<ChildStdin>, text: &[u8]) {
    if let Some(mut stdin) = stdin
        && let Err(error) = stdin.write_all(text).await
    {
        tracing::debug!(%error, "the program did not read its whole prompt");
    }
}

async fn read(output: impl AsyncRead + Unpin) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let limit = limits::MODEL_ANSWER_BYTES_MAX;
    output.take(limit as u64 + 1).read_to_end(&mut bytes).await.map_err(|error| format!("cannot read the answer: {error}"))?;
    if bytes.len() > limit { Err(format!("the answer is larger than {limit} bytes")) } else { Ok(bytes) }
}

/// The start of the error output; the rest is read and dropped, so that the program does not wait for a reader.
async fn first_of(mut output: impl AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    let read = (&mut output).take(limits::REMOTE_ERROR_BYTES_MAX as u64).read_to_end(&mut bytes).await;
    if read.is_ok() {
        // Nothing can be done about an error here, and nothing depends on it.
        _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&bytes).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
