//! Readers whose connections are cut go on at another node, too.

use crate::{
    cuts::tell_through_cuts,
    harness::{ALICE, BOB, Grid},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_a_thousand_times_is_the_uncut_one_whichever_node_tells_it() {
    let grid = Grid::start().await;
    let [a, b, _] = grid.nodes();
    tell_through_cuts(&grid.urls(), a.requester(ALICE).await, b.worker(BOB, "teller").await).await;
}
