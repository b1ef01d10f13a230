//! `quorate status`: the servers, as they see themselves.

use serde_json::Value;

use super::{Context, Ending, Nothing};
use crate::failure::Exit;

pub(super) async fn run(context: &Context, _: Nothing) -> Ending {
    let servers = context.client.server_status().await;
    let mut reached = 0;
    let rows = servers
        .iter()
        .map(|server| match &server.result {
            Ok(status) => {
                reached += 1;
                vec![
                    server.address.as_str().into(),
                    "up".into(),
                    status.version.as_str().into(),
                    format!("{:x}", status.member_id).into(),
                    format!("{:x}", status.leader).into(),
                    status.term.into(),
                    status.revision.into(),
                    status.db_size.into(),
                    Value::Null,
                ]
            }
            Err(error) => {
                let mut row = vec![server.address.as_str().into(), "down".into()];
                row.extend(std::iter::repeat_n(Value::Null, 6));
                row.push(error.message().into());
                row
            }
        })
        .collect();
    context.printer.rows(
        &[
            "address", "state", "version", "member", "leader", "term", "revision", "bytes", "error",
        ],
        rows,
    )?;
    if reached == 0 {
        return Ok((Exit::Unavailable as u8).into());
    }
    Ok(0.into())
}
