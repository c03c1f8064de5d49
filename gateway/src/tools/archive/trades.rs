//! `lotbook archive unenriched|retry`: trades that lack reference data, and what the trades could not take.

use std::io::{self, Write};

use lotbook_archiver::postgres::reference;
use lotbook_archiver::postgres::trades::parked;
use serde_json::json;

use super::{ArchiveToolError, Job, SHARD};
use crate::cli::ExitCode;

impl Job<'_> {
    pub(super) async fn unenriched(&self, list: usize, out: &mut dyn Write) -> Result<ExitCode, ArchiveToolError> {
        let link = self.checked_link().await?;
        let found = reference::unenriched(&link, list).await;
        let (trades, count) = found.map_err(|source| self.failed(source))?;
        if self.args.json {
            let listed: Vec<_> = trades
                .iter()
                .map(|trade| {
                    json!({
                        "exec_id": trade.exec_id,
                        "namespace": trade.namespace,
                        "business_date": trade.business_date,
                        "account": trade.account,
                        "instrument": trade.instrument,
                        "missing": trade.missing,
                    })
                })
                .collect();
            serde_json::to_writer_pretty(&mut *out, &json!({ "count": count, "trades": listed }))
                .map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{count} trades lack reference data")?;
            for trade in &trades {
                let (missing, id) = (trade.missing.join(", "), &trade.exec_id);
                let (date, account, instrument) = (&trade.business_date, &trade.account, &trade.instrument);
                writeln!(out, "  {date} {id}: no {missing} for account {account}, instrument {instrument}")?;
            }
        }
        Ok(if count == 0 { ExitCode::Ok } else { ExitCode::Broken })
    }

    pub(super) async fn retry(&self, out: &mut dyn Write) -> Result<ExitCode, ArchiveToolError> {
        let mut link = self.checked_link().await?;
        let (taken, left) = parked::retry(&mut link, SHARD).await.map_err(|source| self.failed(source))?;
        if self.args.json {
            let listed: Vec<String> = left.iter().map(ToString::to_string).collect();
            writeln!(out, "{}", json!({ "taken": taken, "left": listed }))?;
        } else {
            writeln!(out, "{taken} records taken, {} left", left.len())?;
            for letter in &left {
                writeln!(out, "  {letter}")?;
            }
        }
        Ok(if left.is_empty() { ExitCode::Ok } else { ExitCode::Broken })
    }
}
