//! `gridbroker demo`: the README's first command.

use std::{io::Cursor, time::Instant};

use image::{ImageFormat, ImageReader};

use super::{gridbroker, text};

#[test]
fn the_demo_shows_both_kinds_writes_the_image_and_closes_with_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let temporary = tempfile::tempdir_in(dir.path()).unwrap();
    let started_at = Instant::now();
    let out = super::command(dir.path(), &["demo"]).env("TMPDIR", temporary.path()).output().unwrap();
    let said = text(&out.stdout);
    assert!(out.status.success(), "{said}\n{}", text(&out.stderr));
    assert!(started_at.elapsed().as_secs() < 30, "it took {:?}", started_at.elapsed());

    let webp = std::fs::read(dir.path().join("gridbroker-demo.webp")).unwrap();
    let reader = ImageReader::new(Cursor::new(webp)).with_guessed_format().unwrap();
    assert_eq!(reader.format(), Some(ImageFormat::WebP));
    assert_eq!(reader.into_dimensions().unwrap(), (512, 512));

    assert!(said.contains("[mock] ") && said.contains("lighthouse"), "tokens are shown: {said}");
    assert!(said.contains("step 30 of 30"), "progress is shown in plain lines: {said}");
    let table = said.split_once("what happened").expect("a table closes it").1;
    let mut last = 0;
    for step in [
        "broker",
        "account",
        "workers",
        "text accepted",
        "first token",
        "text done",
        "image accepted",
        "image done",
        "image saved",
        "stopped",
    ] {
        let row = table.lines().find(|line| line.starts_with(step)).expect(step);
        let took = row.split_whitespace().next_back().unwrap();
        assert!(took.parse::<f64>().is_ok(), "{step} ends in milliseconds: {row}");
        let place = table.find(row).unwrap();
        assert!(place > last, "{step} is in its place: {table}");
        last = place;
    }
    assert!(!said.contains('\u{1b}'), "no escapes in a pipe");
    let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
    assert!(left.is_empty(), "nothing stays behind: {left:?}");
}

#[test]
fn a_directory_that_cannot_be_written_to_is_said_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("gridbroker-demo.webp")).unwrap();
    let out = gridbroker(dir.path(), &["demo"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("gridbroker-demo.webp cannot be written"), "{}", text(&out.stderr));
}
