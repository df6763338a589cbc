use super::*;

#[test]
fn what_the_system_has_is_read_at_once_and_all_else_is_left_to_who_waits() {
    let path = tempfile::tempdir().unwrap();
    let folder = Folder::open(&path.path().join("n1"), "n1").unwrap();
    let name = FileName::Segment(1);
    folder.create(name, 4096).unwrap();
    folder.write(name, 0, &[7; 100]).unwrap();
    let at_once = |name, length: usize| {
        let mut into = vec![0; length];
        folder.read_at_once(name, 0, &mut into).map(|read| into[..read].to_vec()).map_err(|cause| cause.kind())
    };
    let first = at_once(name, 100);
    // Not every file system can.
    if folder.reads_at_once.load(Ordering::Relaxed) {
        assert_eq!(first, Ok(vec![7; 100]));
    }
    assert_eq!(at_once(name, 101), Err(io::ErrorKind::WouldBlock), "half of it is of no use");
    assert_eq!(at_once(FileName::Segment(2), 1), Err(io::ErrorKind::WouldBlock), "it is not open");
    assert_eq!(folder.read_new(name, 0, 101).unwrap().as_ref(), [7; 100]);
    assert_eq!(folder.read_new(name, 50, 10).unwrap().as_ref(), [7; 10]);
}

#[test]
fn what_is_read_past_the_page_cache_is_what_lies_there_and_does_not_come_into_it_but_for_one_of_a_few() {
    let path = tempfile::tempdir().unwrap();
    let folder = Folder::open(&path.path().join("n1"), "n1").unwrap();
    let name = FileName::Segment(1);
    let bytes: Vec<u8> = (0..300_001_u32).map(|n| (n % 251) as u8).collect();
    folder.create(name, 1 << 20).unwrap();
    folder.write(name, 0, &bytes).unwrap();
    folder.sync(name).unwrap();
    let file = folder.open(name).unwrap();
    let is_there = || is_cached(&file, 150_000);
    assert!(is_there(), "it was just written");
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    // A file system in memory has all of it there, and some cannot read past it.
    let can = !is_there();
    let mut read_there = 0;
    for (turn, (at, length)) in [(0, 300_001), (1, 299_999), (64, 200_000), (4_096, 290_000), (511, 300_000)]
        .into_iter()
        .cycle()
        .take(2 * CACHED as usize)
        .enumerate()
    {
        let end = bytes.len().min((at + length) as usize);
        let read = folder.read_new(name, at, length).unwrap();
        assert!(read.as_ref() == &bytes[at as usize..end], "{length} bytes at {at}, turn {turn}");
        if can && is_there() {
            read_there += 1;
            fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        }
    }
    let is_able = folder.unit.load(Ordering::Relaxed) > 0;
    assert!(read_there == 2 || !can || !is_able, "{read_there} of {}", 2 * CACHED);
    let gone = folder.read_new(FileName::Segment(2), 0, 100_000).unwrap_err();
    assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    folder.remove(name).unwrap();
    assert_eq!(folder.read_new(name, 0, 100_000).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn what_cannot_be_read_past_the_page_cache_is_read_through_it() {
    let path = tempfile::tempdir().unwrap();
    let folder = Folder::open(&path.path().join("n1"), "n1").unwrap();
    let name = FileName::Segment(1);
    folder.create(name, 1 << 20).unwrap();
    folder.write(name, 0, &[7; 100_000]).unwrap();
    for unit in [UNASKED, 0, 512, 4096, 1] {
        folder.unit.store(unit, Ordering::Relaxed);
        assert!(folder.read_past(name, 1, 90_000).is_none_or(|read| read.unwrap().as_ref() == [7; 90_000]));
        assert_eq!(folder.read_new(name, 9, 90_000).unwrap().as_ref(), [7; 90_000]);
    }
    let refused = read_block(&folder.file(name, PageCache::Through).unwrap(), 0, u64::MAX, 4096).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::OutOfMemory);
}

#[test]
fn a_folder_that_is_a_link_or_a_file_is_none() {
    let base = tempfile::tempdir().unwrap();
    let [folder, link, file] = ["n1", "n2", "n3"].map(|name| base.path().join(name));
    drop(Folder::open(&folder, "n1").unwrap());
    std::os::unix::fs::symlink(&folder, &link).unwrap();
    fs::write(&file, "").unwrap();
    for path in [link, file] {
        assert!(matches!(Folder::open(&path, "n1"), Err(Denied::NoFolder)), "{}", path.display());
        assert!(matches!(Folder::inspected(&path), Err(Denied::NoFolder)), "{}", path.display());
    }
}

#[test]
fn what_was_taken_for_a_segment_beyond_its_end_can_be_given_back_and_taken_again() {
    let path = tempfile::tempdir().unwrap();
    let folder = Folder::open(&path.path().join("n1"), "n1").unwrap();
    let (name, length) = (FileName::Segment(1), 8 << 20);
    folder.create(name, length).unwrap();
    folder.write(name, 0, b"a record whose length is no multiple of anything").unwrap();
    let taken = || std::fs::metadata(path.path().join("n1/0000000000000001.seg")).unwrap().blocks() * 512;
    let before = taken();
    folder.shorten(name).unwrap();
    assert!(taken() <= 64 * 1024, "{} bytes", taken());
    folder.reserve(name, length).unwrap();
    assert_eq!(taken(), before);
    assert_eq!(folder.list().unwrap(), [(name, 48)]);
}
