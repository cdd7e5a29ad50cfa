//! Providers: each answers the one question what the record of a key is.

pub(crate) mod file;
pub(crate) mod http;
pub(crate) mod mcp;

use lockgate_transport::http::Pool;

use crate::absence::Absence;
use crate::document::Told;
use crate::spec::From;
use file::FileSource;
use http::Template;
use mcp::Slot;

pub(crate) enum Source {
    File(FileSource),
    Http { url: Template, pool: Pool },
    Mcp { server: String, tool: String, slot: Slot },
    Push,
}

impl Source {
    pub(crate) fn new(from: &From, slot: &Slot) -> Self {
        match from {
            From::File(path) => Self::File(FileSource::new(path.clone())),
            From::Http { url, pool } => Self::Http { url: url.clone(), pool: pool.clone() },
            From::Mcp { server, tool } => {
                Self::Mcp { server: server.clone(), tool: tool.clone(), slot: slot.clone() }
            }
            From::Push { .. } => Self::Push,
        }
    }

    /// Asks, however long it takes; whoever asks sets the limit and drops the future at its end.
    pub(crate) async fn fetch(&self, name: Option<&str>, key: Option<&str>) -> Result<Told, Absence> {
        match self {
            Self::File(file) => file.fetch(key).await,
            Self::Http { url, pool } => http::fetch(pool, url, key).await,
            Self::Mcp { server, tool, slot } => {
                let arguments = name.zip(key).map(|(name, key)| (name.to_owned(), key.into())).into_iter();
                slot.fetch(server, tool, arguments.collect()).await
            }
            Self::Push => Err(Absence::NothingPushed),
        }
    }
}
