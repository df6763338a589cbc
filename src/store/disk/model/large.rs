//! Bodies in files of their own.

use super::*;
use crate::policy::Part;

const LARGE: usize = 100_000;

fn large(n: u64, version: u64) -> Arc<Entry> {
    page(&url(n), 0, version, Marks::NONE, LARGE)
}

fn put_large(rig: &mut Rig, n: u64, version: u64) {
    rig.put(&large(n, version)).unwrap();
    rig.work();
}

/// A second and more later.
fn later(rig: &mut Rig) {
    for _ in 0..2 {
        rig.disk.go_on(Timestamp(rig.now));
        rig.now += 2_000;
        rig.work();
    }
}

#[test]
fn a_large_body_is_there_after_a_kill_and_one_that_was_not_whole_leaves_nothing() {
    let mut rig = Rig::new(4 * SMALL);
    put_large(&mut rig, 1, 1);
    let file = rig.disk.begin_body(7, &large(2, 1).terms, 200_000, Timestamp(NOW)).unwrap();
    let mut writer = BodyWriter::begin(rig.files.clone(), file, 0).unwrap();
    assert_eq!(writer.write(&[1; 100_000]).unwrap(), 0, "some are written at a time");
    assert_eq!(writer.write(&[1; 200_000]).unwrap(), 4 * 65_536);
    assert_eq!(rig.bodies(), (2, 1));
    let mut rig = rig.again();
    assert_eq!((rig.found, rig.bodies()), ((None, None), (1, 1)));
    assert_eq!(stored(&mut rig, 1), Some((1, false)));
    let account = rig.disk.account(hash(url(1).as_bytes()));
    let DiskAccount::There { bytes, file, .. } = account else { panic!("{account:?}") };
    assert!(bytes < 1000 && file == Some(LARGE as u64 + 16), "a sum for each block: {account:?}");
    let mut rig = rig.finish().again();
    assert_eq!((rig.found, stored(&mut rig, 1)), ((None, None), Some((1, false))));
}

#[test]
fn what_has_been_written_is_read_while_the_rest_comes() {
    let rig = Rig::new(4 * SMALL);
    let whole: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let file = BodyFile::new(3, 0, 7, 9);
    let mut writer = BodyWriter::begin(rig.files.clone(), file, 0).unwrap();
    let open = rig.files.open(file.name()).unwrap();
    let read = |length: u64, at: u64| read_apart(&*rig.files, &open, file.with_length(length), at);
    let readable = writer.write(&whole[..290_000]).unwrap();
    for at in [0, 1, 65_535, 65_536, 200_000, readable - 1] {
        let piece = read(readable, at).unwrap();
        assert_eq!(piece[..], whole[at as usize..][..piece.len()], "at {at}");
    }
    assert!(read(readable, readable).is_err());
    writer.write(&whole[290_000..]).unwrap();
    rig.files.remove(file.name()).unwrap();
    assert_eq!(writer.finish().unwrap(), 300_000);
    let end = read(300_000, 299_990).unwrap();
    assert_eq!(end[..], whole[299_990..], "whoever has it open reads on");
    assert!(read_apart(&*rig.files, &open, BodyFile::new(4, 300_000, 7, 9), 0).is_err(), "it is not another one");
}

#[test]
fn the_file_of_what_was_purged_or_replaced_goes_and_of_what_was_confirmed_stays() {
    let mut rig = Rig::new(4 * SMALL);
    (1..4).for_each(|n| put_large(&mut rig, n, 1));
    rig.disk.forget(hash(url(1).as_bytes()));
    put_large(&mut rig, 2, 2);
    // As a 304 does: another record, the same file.
    let number = rig.disk_body(3);
    let before = rig.disk.forget(hash(url(3).as_bytes()));
    rig.disk.put_apart(hash(url(3).as_bytes()), &large(3, 1), number, before, Timestamp(NOW)).unwrap();
    rig.work();
    later(&mut rig);
    assert_eq!(rig.bodies(), (2, 2));
    let seen = |rig: &mut Rig| [1, 2, 3].map(|n| stored(rig, n));
    let expected = [None, Some((2, false)), Some((1, false))];
    assert_eq!(seen(&mut rig), expected);
    let mut rig = rig.again();
    assert_eq!((seen(&mut rig), rig.bodies()), (expected, (2, 2)));
}

#[test]
fn large_bodies_make_room_for_each_other_and_what_is_used_stays() {
    let mut rig = Rig::new(4 * SMALL);
    put(&mut rig, 1_000, 7);
    put_large(&mut rig, 0, 0);
    for n in 1..200 {
        assert_eq!(stored(&mut rig, 0), Some((0, false)), "{n} came after it");
        put_large(&mut rig, n, n);
        let taken = rig.files.bytes();
        assert!(taken <= 4 * SMALL + SMALL, "{taken} bytes");
    }
    later(&mut rig);
    assert_eq!((stored(&mut rig, 1), stored(&mut rig, 199)), (None, Some((199, false))));
    let (there, known) = rig.bodies();
    assert!(there == known && (20..40).contains(&known), "{known} bodies");
    assert_eq!(stored(&mut rig, 1_000), Some((7, false)), "their records took no room of it");
    let before = rig.bodies();
    let mut rig = rig.again();
    assert_eq!(
        (rig.bodies(), stored(&mut rig, 0), stored(&mut rig, 199)),
        (before, Some((0, false)), Some((199, false)))
    );
    // And what is small goes on to come, and to take the place of what is large and old.
    for n in 2_000..30_000 {
        put(&mut rig, n, n);
        if n % 50 == 0 {
            rig.work();
        }
    }
    later(&mut rig);
    assert!(rig.files.bytes() <= 4 * SMALL + SMALL, "{} bytes", rig.files.bytes());
    assert_eq!((stored(&mut rig, 199), rig.bodies()), (None, (0, 0)));
}

#[test]
fn a_journal_that_is_written_anew_knows_the_files_and_a_smaller_disk_has_fewer() {
    let mut rig = Rig::new(8 * SMALL);
    (0..40).for_each(|n| put_large(&mut rig, n, n));
    rig.disk.draft_anew();
    put_large(&mut rig, 40, 40);
    while rig.disk.is_drafting() {
        rig.disk.go_on(Timestamp(NOW));
        rig.work();
    }
    let mut rig = rig.again();
    assert_eq!(
        (rig.bodies(), stored(&mut rig, 3), stored(&mut rig, 40)),
        ((41, 41), Some((3, false)), Some((40, false)))
    );
    let mut rig = Rig::open(rig.files, 2 * SMALL, 1, NOW);
    put_large(&mut rig, 50, 50);
    later(&mut rig);
    assert!(rig.files.bytes() <= 3 * SMALL, "{} bytes", rig.files.bytes());
    assert_eq!(stored(&mut rig, 50), Some((50, false)));
}

#[test]
fn no_flipped_bit_of_a_large_body_brings_a_wrong_byte_and_a_short_file_is_not_known() {
    let mut rig = Rig::new(4 * SMALL);
    rig.put(&page(&url(1), 0, 1, Marks::NONE, 20_000)).unwrap();
    put_large(&mut rig, 2, 1);
    let small = FileName::Body(rig.disk_body(1));
    let mut rig = rig.finish().again();
    assert!(stored(&mut rig, 1).is_some());
    for bit in 0..rig.files.length(&|name| name == small) * 8 {
        if bit % 211 > 1 {
            continue;
        }
        let flip = |bytes: &mut Vec<u8>| bytes[bit as usize / 8] ^= 1 << (bit % 8);
        let files = Arc::new(rig.files.fork());
        files.change(small, flip);
        let mut again = Rig::open(files, 4 * SMALL, 1, NOW);
        assert_eq!(stored(&mut again, 1), None, "bit {bit}");
    }
    rig.files.change(small, |bytes| bytes.truncate(20_007));
    let mut rig = rig.again();
    assert_eq!((stored(&mut rig, 1), stored(&mut rig, 2), rig.bodies()), (None, Some((1, false)), (1, 1)));
}

#[test]
fn behind_the_newest_no_more_than_16_mib_of_variants_are_read() {
    let mut rig = Rig::new(128 * 1024 * SMALL);
    for variant in 1..=4 {
        let page = page(&url(1), variant, 1, Marks::NONE, 7 << 20);
        rig.disk.put(hash(page.key()), &page, None, Timestamp(NOW)).unwrap();
        rig.work();
    }
    let found: Vec<usize> = rig.get(&url(1)).iter().map(|entry| entry.body().len() as usize).collect();
    assert_eq!(found, [7 << 20; 3]);
}

/// The begin of a page, as a part of it.
fn begin_of(page: Arc<Entry>, whole: u64) -> Arc<Entry> {
    let part = Part { at: 0..page.body().len(), whole };
    Arc::new(Arc::into_inner(page).unwrap().part_of_whole(part))
}

#[test]
fn the_begin_of_a_body_is_gone_on_with_by_one_and_a_kill_meanwhile_leaves_it_as_it_was() {
    const WHOLE: usize = 300_000;
    const BEGIN: usize = 131_072;
    let mut rig = Rig::new(4 * SMALL);
    let (hash, now) = (hash(url(1).as_bytes()), Timestamp(NOW));
    let whole = page(&url(1), 0, 1, Marks::NONE, WHOLE);
    let bytes = body(&whole);
    let file = rig.disk.begin_body(hash, &whole.terms, WHOLE as u64, now).unwrap();
    let mut writer = BodyWriter::begin(rig.files.clone(), file, WHOLE as u64).unwrap();
    writer.write(&bytes[..150_000]).unwrap();
    writer.finish().unwrap();
    let begin = begin_of(page(&url(1), 0, 1, Marks::NONE, BEGIN), WHOLE as u64);
    rig.disk.put_apart(hash, &begin, file.number, None, now).unwrap();
    let mut rig = rig.worked().again();
    let resume = |rig: &mut Rig| {
        let known = rig.get(&url(1));
        assert!(body(&known[0]) == bytes[..BEGIN] && known.len() == 1);
        let number = rig.disk_body(1);
        let file = rig.disk.resume_body(hash, number, WHOLE as u64, now).unwrap();
        assert_eq!((file.length, rig.disk.large()), (BEGIN as u64, (1, WHOLE as u64)));
        assert!(rig.disk.resume_body(hash, number, WHOLE as u64, now).is_none(), "by one at a time");
        (number, BodyWriter::resume(rig.files.clone(), file).unwrap())
    };
    let (_, mut writer) = resume(&mut rig);
    writer.write(&bytes[BEGIN..]).unwrap();
    let mut rig = rig.again();
    let (number, _) = resume(&mut rig);
    rig.disk.leave_body(number);
    assert_eq!(rig.disk.large(), (1, BEGIN as u64));
    let (number, mut writer) = resume(&mut rig);
    writer.write(&bytes[BEGIN..]).unwrap();
    assert_eq!(writer.finish().unwrap(), WHOLE as u64);
    let before = rig.disk.forget(hash);
    rig.disk.put_apart(hash, &whole, number, before, now).unwrap();
    let mut rig = rig.worked();
    later(&mut rig);
    for _ in 0..2 {
        assert_eq!((stored(&mut rig, 1), rig.bodies()), (Some((1, false)), (1, 1)));
        assert_eq!(rig.disk.large(), (1, WHOLE as u64));
        rig = rig.again();
    }
}

#[test]
fn parts_lie_side_by_side_and_a_whole_takes_the_place_of_all_of_them() {
    let mut rig = Rig::new(SMALL);
    let (hash, now) = (hash(url(1).as_bytes()), Timestamp(NOW));
    let part = |at: std::ops::Range<u64>| {
        let page = page(&url(1), 0, 1, Marks::NONE, (at.end - at.start) as usize);
        Arc::new(Arc::into_inner(page).unwrap().part_of_whole(Part { at, whole: 1_000 }))
    };
    for at in [0..100, 500..700] {
        let before = rig.disk.forget(hash);
        rig.disk.put(hash, &part(at), before, now).unwrap();
    }
    let mut rig = rig.worked();
    for _ in 0..2 {
        let found: Vec<_> = rig.get(&url(1)).iter().map(|entry| entry.part().unwrap().at.clone()).collect();
        assert_eq!(found, [500..700, 0..100]);
        rig = rig.again();
    }
    put(&mut rig, 1, 2);
    rig.work();
    assert_eq!((rig.get(&url(1)).len(), stored(&mut rig, 1)), (1, Some((2, false))));
}

impl Rig {
    fn worked(mut self) -> Rig {
        self.work();
        self
    }

    /// With its body in a file of its own.
    pub(super) fn put_apart(&mut self, entry: &Arc<Entry>, before: Option<ForgottenUrl>) -> Result<(), Skipped> {
        let (hash, length, now) = (hash(entry.key()), entry.body().len(), Timestamp(self.now));
        let file = self.disk.begin_body(hash, &entry.terms, length, now)?;
        let mut writer = BodyWriter::begin(self.files.clone(), file, length).unwrap();
        for piece in body(entry).chunks(1000) {
            writer.write(piece).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), length);
        let put = self.disk.put_apart(hash, entry, file.number, before, now);
        if put.is_err() {
            self.disk.drop_body(file.number);
        }
        put
    }

    /// What was read, with the body that lies in a file. `None`: that cannot be had.
    pub(super) fn with_body(&mut self, hash: u64, ReadRecord { entry, file }: ReadRecord) -> Option<Entry> {
        let Some(file) = file else { return Some(entry) };
        let mut body = Vec::new();
        let open = self.files.open(file.name());
        while (body.len() as u64) < file.length {
            let piece =
                open.as_ref().ok().and_then(|open| read_apart(&*self.files, open, file, body.len() as u64).ok());
            match piece {
                Some(piece) => body.extend_from_slice(&piece),
                None => {
                    self.disk.lost_body(hash, file.number);
                    return None;
                }
            }
        }
        let key = Key::parse(std::str::from_utf8(entry.key()).unwrap()).unwrap();
        let body = vec![Bytes::from(body)];
        let (headers, selecting) = (entry.headers(0), entry.selecting());
        Some(Entry::new(&key, entry.status, &headers, selecting, entry.terms, entry.mark, body))
    }

    /// Files of bodies that are there, and those that are known.
    pub(super) fn bodies(&self) -> (usize, usize) {
        let there = self.files.list().unwrap();
        (there.iter().filter(|(name, _)| matches!(name, FileName::Body(_))).count(), self.disk.large().0)
    }

    fn disk_body(&mut self, n: u64) -> u64 {
        self.work();
        let slot = self.disk.find(hash(url(n).as_bytes()), url(n).as_bytes()).unwrap().read.unwrap();
        let read = read(&*self.files, self.disk.lineage(), url(n).as_bytes(), slot, ReadPace::Waiting).unwrap();
        read[0].file.unwrap().number
    }
}
