//! Every event of a request, from a cursor on.

use std::{
    pin::{Pin, pin},
    time::Duration,
};

use async_stream::try_stream;
use futures_util::Stream;
use tonic::{Response, Status};

use super::{GenerateService, request_id};
use crate::{
    host::Cursor,
    rpc::{check::violation, convert, pb, refuse, rules::HttpStatus},
};

/// A watcher whom nothing was told for so long gets a keep-alive.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The events, as they come.
pub(super) type Events = Pin<Box<dyn Stream<Item = Result<pb::WatchResponse, Status>> + Send>>;

impl GenerateService {
    pub(super) async fn follow(&self, message: pb::WatchRequest) -> Result<Response<Events>, Status> {
        let after = match message.after.as_str() {
            "" => None,
            text => Some(Cursor::parse(text).ok_or_else(|| {
                violation("after", format!("'{text}' is no cursor: give back one that an event came with"))
            })?),
        };
        let id = request_id(&message.id).map_err(refuse)?;
        let kind = self.0.host.kind_of(id).await.map_err(refuse)?;
        let Some(mut watching) = self.0.host.watch(id, after).await.map_err(refuse)? else {
            let mut response: Response<Events> = Response::new(Box::pin(tokio_stream::empty()));
            response.extensions_mut().insert(HttpStatus(204));
            return Ok(response);
        };
        let objects = self.0.objects.clone();
        let mut last = message.after;
        let events = try_stream! {
            loop {
                let told = {
                    let mut next = pin!(watching.next());
                    loop {
                        tokio::select! {
                            told = &mut next => break told,
                            () = tokio::time::sleep(KEEP_ALIVE) => yield convert::event::keep_alive(&last),
                        }
                    }
                };
                let Some((cursor, event)) = told.map_err(refuse)? else { break };
                last = cursor.to_string();
                yield convert::event::told(cursor, &event, kind, &objects);
            }
        };
        Ok(Response::new(Box::pin(events)))
    }
}
