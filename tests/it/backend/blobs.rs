//! Promises of Blobs.

use bytes::Bytes;

use super::store::{Keeper, Store};
use crate::simulation::dice::Chance;

fn noise(seed: u64, bytes: usize) -> Bytes {
    let mut chance = Chance::new(seed);
    (0..bytes.div_ceil(8)).flat_map(|_| chance.next().to_le_bytes()).take(bytes).collect()
}

pub async fn an_object_comes_back_as_it_was_stored(store: Store) {
    const CHUNK: usize = 256 * 1024;
    for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 9 * CHUNK + 17, 20_000_000] {
        let content = noise(size as u64, size);
        store.blobs.put("some.webp", content.clone()).await.unwrap();
        let there = store.blobs.get("some.webp").await.unwrap().unwrap();
        assert!(there == content, "{size} bytes");
        assert!(store.blobs.exists("some.webp").await.unwrap(), "{size} bytes");
    }
    if store.keeper != Keeper::Sqlite {
        let error = store.blobs.put("huge.webp", vec![0; 65 << 20].into()).await.unwrap_err();
        assert!(error.to_string().contains("too large"), "{error}");
        assert!(!store.blobs.exists("huge.webp").await.unwrap());
    }
}

pub async fn an_object_is_replaced_whole(store: Store) {
    for size in [3_000_000, 10, 700_000, 0] {
        let content = noise(size, size as usize);
        store.blobs.put("some.webp", content.clone()).await.unwrap();
        assert!(store.blobs.get("some.webp").await.unwrap() == Some(content), "{size} bytes");
    }
}

pub async fn an_object_that_is_not_there_is_none(store: Store) {
    assert_eq!(store.blobs.get("some.webp").await.unwrap(), None);
    assert!(!store.blobs.exists("some.webp").await.unwrap());
    store.blobs.delete("some.webp").await.unwrap();
    store.blobs.put("some.webp", noise(1, 600_000)).await.unwrap();
    store.blobs.put("other.webp", noise(2, 10)).await.unwrap();
    store.blobs.delete("some.webp").await.unwrap();
    assert_eq!(store.blobs.get("some.webp").await.unwrap(), None);
    assert!(store.blobs.exists("other.webp").await.unwrap());
}

pub async fn two_writers_leave_one_whole_object(store: Store) {
    let versions: Vec<_> = (1..=4).map(|i| noise(i, 400_000 * i as usize)).collect();
    for _ in 0..3 {
        let mut writers = tokio::task::JoinSet::new();
        for content in versions.clone() {
            let blobs = store.blobs.clone();
            writers.spawn(async move { blobs.put("some.webp", content).await.map_err(|e| e.to_string()) });
        }
        while let Some(written) = writers.join_next().await {
            written.unwrap().unwrap();
            let seen = store.blobs.get("some.webp").await.unwrap().unwrap();
            assert!(versions.contains(&seen), "what is read is one of them, whole: {} bytes", seen.len());
        }
    }
}

pub async fn names_are_the_brokers_own(store: Store) {
    for name in ["../x", "a/b", "", "..", ".x", "a\0b", "ab", &"a".repeat(201)] {
        assert!(store.blobs.put(name, Bytes::new()).await.is_err(), "{name:?} is refused");
        assert!(store.blobs.get(name).await.is_err(), "{name:?} is refused");
    }
}

pub async fn names_are_listed_in_order_between_two_bounds(store: Store) {
    for name in ["0c.webp", "0a_src.webp", "0a.webp", "0b.webp", "1a.webp"] {
        // More than one chunk: an object is listed once all the same.
        store.blobs.put(name, noise(1, 600_000)).await.unwrap();
    }
    let names = async |after: &str, before: &str, most| store.blobs.names(after, before, most).await.unwrap();
    assert_eq!(names("", "0c", 10).await, ["0a.webp", "0a_src.webp", "0b.webp"]);
    assert_eq!(names("0a.webp", "2", 2).await, ["0a_src.webp", "0b.webp"]);
    assert_eq!(names("1a.webp", "2", 10).await, Vec::<String>::new());
}

pub async fn the_beginning_of_an_object_tells_of_the_rest(store: Store) {
    assert_eq!(store.blobs.beginning("some.webp", 10).await.unwrap(), None);
    for size in [0, 1, 9, 10, 11, 70_000, 600_000] {
        let content = noise(1, size);
        store.blobs.put("some.webp", content.clone()).await.unwrap();
        for most in [1, 10, 65_536] {
            let seen = store.blobs.beginning("some.webp", most).await.unwrap().unwrap();
            assert!(seen.content == content[..size.min(most)], "{most} of {size} bytes");
            assert_eq!(seen.size_bytes, size as u64, "{most} of {size} bytes");
        }
    }
}
