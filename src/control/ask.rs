//! The side of the one who wants something.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::listen::line;
use super::wish::{Announcement, Reply, Wish};
use crate::journal::DataDir;
use crate::limits;
use crate::time::humanize;

/// Why nothing came of a wish.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No gantry holds the directory, or it does not listen.
    #[error("no gantry is running on this data directory")]
    Nobody,
    /// It drives its own run alone and takes no wishes, as `gantry run` does.
    #[error("{holder}, which holds the data directory, takes no commands")]
    Deaf {
        /// Which process it is.
        holder: String,
    },
    /// It went away, or says what cannot be understood.
    #[error("process {process}, which holds the data directory, went away or does not answer")]
    Silent {
        /// Its id.
        process: u32,
    },
    /// It took the wish and says nothing.
    #[error("process {process}, which holds the data directory, has not answered for {}; it may still do what was wished", humanize(*after))]
    Slow {
        /// Its id.
        process: u32,
        /// How long it was waited for.
        after: Duration,
    },
}

/// A wish that was said.
#[derive(Debug)]
pub struct Asked {
    process: u32,
    /// How long the first reply is waited for.
    patience: Option<Duration>,
    read: BufReader<OwnedReadHalf>,
    /// Closing it would end the connection.
    _write: OwnedWriteHalf,
}

/// Says a wish to the gantry that holds a data directory.
pub async fn ask(directory: &Path, wish: &Wish) -> Result<Asked, Error> {
    let announced = DataDir::announced(directory).ok_or_else(|| nobody(directory))?;
    let Announcement { process, address, secret } = serde_json::from_str(&announced).map_err(|_| Error::Nobody)?;
    if !address.ip().is_loopback() {
        return Err(Error::Nobody);
    }
    let patience = Some(wish.patience());
    let said = async {
        let stream = TcpStream::connect(address).await.map_err(|_| Error::Nobody)?;
        let (read, mut write) = stream.into_split();
        let wish = serde_json::to_string(wish).map_err(|_| Error::Silent { process })?;
        write.write_all(format!("{secret}\n{wish}\n").as_bytes()).await.map_err(|_| Error::Silent { process })?;
        Ok(Asked { process, patience, read: BufReader::new(read), _write: write })
    };
    tokio::time::timeout(limits::CONTROL_TIMEOUT, said).await.unwrap_or(Err(Error::Silent { process }))
}

/// Nobody listens: whoever holds the directory is named.
fn nobody(directory: &Path) -> Error {
    DataDir::holder(directory).map_or(Error::Nobody, |holder| Error::Deaf { holder })
}

/// Whether a gantry listens for the wishes of those who own this directory.
pub async fn answers(directory: &Path) -> bool {
    let announced = DataDir::announced(directory).and_then(|text| serde_json::from_str::<Announcement>(&text).ok());
    let Some(Announcement { address, .. }) = announced else { return false };
    let connected = tokio::time::timeout(limits::CONTROL_TIMEOUT, TcpStream::connect(address));
    address.ip().is_loopback() && matches!(connected.await, Ok(Ok(_)))
}

impl Asked {
    /// The next reply. The first comes in time or not at all; the others are waited for as long as it takes: a run that is followed may
    /// be quiet for days.
    pub async fn next(&mut self) -> Result<Reply, Error> {
        let process = self.process;
        let reading = line(&mut self.read, limits::CONTROL_LINE_BYTES_MAX);
        let text = match self.patience.take() {
            None => reading.await,
            Some(after) => tokio::time::timeout(after, reading).await.map_err(|_| Error::Slow { process, after })?,
        };
        text.and_then(|text| serde_json::from_str(&text).ok()).ok_or(Error::Silent { process })
    }
}
