//! `gridbroker ledger`: whether the books add up.

use std::fmt;

use anyhow::bail;
use clap::{Args, Subcommand};
use tonic::{Status, transport::Channel};

use super::{
    StoreArgs,
    operator::{self, Order},
};
use crate::{
    backend::Records,
    domain::Kudos,
    rpc::admin::{VerifyLedgerRequest, VerifyLedgerResponse, admin_client::AdminClient},
    server::admin,
};

/// Whether the books add up.
#[derive(Args)]
pub struct LedgerArgs {
    #[command(subcommand)]
    command: LedgerCommand,
}

#[derive(Subcommand)]
enum LedgerCommand {
    /// Check the books as of one instant, while a broker runs or not, and print a short report.
    ///
    /// Every balance is the sum of its postings, all accounts together hold nothing, no posting counts
    /// twice, every job is settled once and has its result, and what accounts are said to have got and given
    /// is their balance. If anything is wrong, it says what, and ends with exit code 1. Nothing is changed.
    Verify(VerifyArgs),
}

#[derive(Args)]
struct VerifyArgs {
    #[command(flatten)]
    store: StoreArgs,
}

/// Runs the command.
///
/// # Errors
/// The store cannot be reached, or something in it does not add up.
pub async fn run(args: LedgerArgs) -> anyhow::Result<()> {
    let LedgerCommand::Verify(verify) = args.command;
    let config = verify.store.load()?;
    let found = operator::carry_out(&config, &VerifyLedgerRequest {}).await?;
    super::say(&Report(&found).to_string())?;
    match found.findings.len() {
        0 => Ok(()),
        1 => bail!("the books do not add up: one rule is broken"),
        broken => bail!("the books do not add up: {broken} rules are broken"),
    }
}

#[async_trait::async_trait]
impl Order for VerifyLedgerRequest {
    type Answer = VerifyLedgerResponse;

    async fn through(&self, broker: &mut AdminClient<Channel>) -> Result<VerifyLedgerResponse, Status> {
        broker.verify_ledger(*self).await.map(tonic::Response::into_inner)
    }

    async fn alone(&self, records: &dyn Records) -> anyhow::Result<VerifyLedgerResponse> {
        let audit = records.audit().await.map_err(anyhow::Error::from_boxed)?;
        Ok(admin::ledger(audit))
    }
}

/// What is printed.
struct Report<'a>(&'a VerifyLedgerResponse);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let VerifyLedgerResponse { users, postings, settlements, holds, sum, findings } = self.0;
        writeln!(
            f,
            "accounts: {users}\npostings: {postings}\nresults settled: {settlements}\n\
             requests with kudos set aside: {holds}\nsum of all accounts: {} kudos",
            Kudos(*sum)
        )?;
        if findings.is_empty() {
            return write!(f, "all adds up");
        }
        write!(f, "what does not add up:")?;
        for finding in findings {
            write!(f, "\n- rule: {}; broken {} times: {}", finding.rule, finding.count, finding.example)?;
        }
        Ok(())
    }
}
