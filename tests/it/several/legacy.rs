//! A path that is switched at one node is switched at all of them.

use gridbroker::{rpc::admin::SwitchRouteRequest, server::admin};
use serde_json::json;

use super::agree;
use crate::harness::{ALICE, Grid, Outsider, Reply};

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_moves_over_at_one_node_moves_at_all() {
    let old = Outsider::plain(|_| Reply::Content(b"{\"old\": true}".to_vec())).await;
    let url = old.url("");
    let grid = Grid::with_flags(&["--legacy-upstream".to_owned(), url]).await;
    let alice = grid.json(ALICE);
    let is_old = async |node: &crate::harness::Json| {
        let answer = node.get("/find_user").await;
        json!(answer.body["old"] == true)
    };
    for expected in [true, false, true] {
        let operator = admin::connect(&grid.nodes()[0].data()).await.expect("the socket can be opened");
        let request = SwitchRouteRequest { path: "/api/v2/find_user".into(), returned: expected };
        operator.expect("the node runs").switch_route(request).await.expect("it is switched");
        let begun = std::time::Instant::now();
        agree(&alice, is_old, |old| *old == expected).await;
        assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    assert_eq!(grid.panics(), Vec::<String>::new());
}
