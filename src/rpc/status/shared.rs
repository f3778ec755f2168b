//! A picture that many watch and one task looks for.
//!
//! The task looks once a beat, for as long as somebody watches; each watcher reads what was seen last,
//! whenever it is ready to. So a thousand watchers cost one look, and a slow one skips.

use std::{future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::watch::{self, Receiver, Sender},
    time::MissedTickBehavior,
};

/// `None` until the first look is done.
pub type Seen<T> = Option<Arc<T>>;

/// Where watchers find the picture.
pub struct Shared<T> {
    beat: Duration,
    /// Set while a task looks. Guards that whoever comes finds a task that goes on, or none.
    looking: Mutex<Option<Sender<Seen<T>>>>,
}

impl<T: PartialEq + Send + Sync + 'static> Shared<T> {
    /// A picture that is looked for so often.
    pub fn new(beat: Duration) -> Arc<Self> {
        Arc::new(Self { beat, looking: Mutex::default() })
    }

    /// Watches: what was seen last is there at once, if somebody watches already. Who looks is given what
    /// was seen before; only what differs is told.
    pub fn watch<F>(self: &Arc<Self>, look: impl Fn(Seen<T>) -> F + Send + 'static) -> Receiver<Seen<T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut looking = self.looking.lock();
        if let Some(sender) = &*looking {
            let mut receiver = sender.subscribe();
            // What others know is news to who comes now.
            receiver.mark_changed();
            return receiver;
        }
        let (sender, receiver) = watch::channel(None);
        *looking = Some(sender.clone());
        tokio::spawn(self.clone().go_on(sender, look));
        receiver
    }

    async fn go_on<F>(self: Arc<Self>, sender: Sender<Seen<T>>, look: impl Fn(Seen<T>) -> F)
    where
        F: Future<Output = T> + Send,
    {
        let mut beats = tokio::time::interval(self.beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.is_over(&sender) {
            beats.tick().await;
            let last = sender.borrow().clone();
            let next = look(last).await;
            sender.send_if_modified(|seen| {
                let is_news = seen.as_deref() != Some(&next);
                if is_news {
                    *seen = Some(Arc::new(next));
                }
                is_news
            });
        }
    }

    /// Ends the looking if nobody watches.
    fn is_over(&self, sender: &Sender<Seen<T>>) -> bool {
        let mut looking = self.looking.lock();
        let is_over = sender.is_closed();
        if is_over {
            *looking = None;
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const BEAT: Duration = Duration::from_millis(5);

    /// Counts looks; the picture is how many tens there were.
    fn counting(looks: &Arc<AtomicU64>) -> impl Fn(Seen<u64>) -> std::future::Ready<u64> + use<> {
        let looks = looks.clone();
        move |_| std::future::ready(looks.fetch_add(1, Ordering::SeqCst) / 10)
    }

    async fn seen(receiver: &mut Receiver<Seen<u64>>) -> u64 {
        loop {
            receiver.changed().await.expect("somebody looks");
            if let Some(picture) = receiver.borrow_and_update().as_deref() {
                return *picture;
            }
        }
    }

    #[tokio::test]
    async fn all_watch_what_one_task_sees_and_a_slow_one_skips() {
        let (shared, looks) = (Shared::new(BEAT), Arc::new(AtomicU64::new(0)));
        let mut quick = shared.watch(counting(&looks));
        let others = Arc::new(AtomicU64::new(0));
        let mut slow = shared.watch(counting(&others));
        for expected in 0..4 {
            assert_eq!(seen(&mut quick).await, expected, "each change is told, and nothing else");
        }
        assert_eq!(others.load(Ordering::SeqCst), 0, "who comes second makes no second task");
        let skipped_to = seen(&mut slow).await;
        assert!(skipped_to >= 3, "{skipped_to}");
        let mut late = shared.watch(counting(&others));
        assert_eq!(seen(&mut late).await, skipped_to, "who comes late knows it at once");
    }

    #[tokio::test]
    async fn nobody_looks_when_nobody_watches() {
        let (shared, looks) = (Shared::new(BEAT), Arc::new(AtomicU64::new(0)));
        let watcher = shared.watch(counting(&looks));
        let another = watcher.clone();
        drop(watcher);
        let looked = looks.load(Ordering::SeqCst);
        while looks.load(Ordering::SeqCst) < looked + 5 {
            tokio::time::sleep(BEAT).await;
        }
        assert!(shared.looking.lock().is_some(), "one still watches");
        drop(another);
        while shared.looking.lock().is_some() {
            tokio::time::sleep(BEAT).await;
        }
        let ended_at = looks.load(Ordering::SeqCst);
        tokio::time::sleep(BEAT * 10).await;
        assert_eq!(looks.load(Ordering::SeqCst), ended_at);
        let mut again = shared.watch(counting(&looks));
        assert_eq!(seen(&mut again).await, ended_at / 10, "and somebody does when somebody comes back");
    }
}
