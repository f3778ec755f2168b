//! All nodes are replaced, one after the other, as for an update.

use std::time::Duration;

use super::chaos::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_are_restarted_in_turn_under_load_and_no_call_fails_twice() {
    let mut scene = Scene::opens(5).await;
    for index in 0..scene.grid.all().len() {
        let node = scene.grid.node(index);
        let ended = node.ends().await;
        assert_eq!(ended.code(), Some(0), "{} does not end in peace: {}", node.name, node.log());
        node.starts().await;
        let goes_on = scene.goes_on_within(Duration::from_secs(10)).await;
        assert!(goes_on, "no work gets done: {}", scene.trouble());
    }
    {
        let history = scene.crowd.history.lock();
        println!("{} calls and streams cut, {} twice", history.cuts, history.cuts_after_retry);
        assert!(history.cuts > 0, "nobody noticed: this shows nothing");
        assert_eq!(
            history.cuts_after_retry,
            0,
            "a call that failed succeeds elsewhere: {:#?}\n{}",
            history.failed_twice,
            scene.grid.logs()
        );
    }
    let verdict = scene.closes().await;
    println!("{}", verdict.summary);
    assert!(verdict.wrong.is_empty(), "{}\n{}", verdict.wrong.join("\n  "), verdict.logs);
}
