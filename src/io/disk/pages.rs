//! The pages of a database, read past the engine.
//!
//! The engine keeps pages in memory and looks at their checksums only after a crash, and a file
//! with one damaged page it may refuse as a whole. Whoever wants to know what really lies on the
//! disk, or to save what is left, reads the tree here: by the documented file format of redb
//! (`docs/design.md` there, version 3), without writing a byte.
//!
//! Every page is checked against the checksum that its parent holds. The rows of a page that fails
//! are given all the same, for each row has a check of its own; but from a damaged *inner* page
//! only children are followed that match the checksum beside their number. So nothing that is not
//! part of the newest commit is ever taken for a part of it.

use std::ops::Range;
use std::sync::Arc;

use redb::StorageBackend;
use twox_hash::XxHash3_128;

use super::rows::BadRow;

/// What a file of redb begins with.
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";
const HEADER_BYTES: usize = 320;
const SLOTS: [Range<usize>; 2] = [64..192, 192..320];
/// Within a slot: everything before its own checksum.
const SLOT_CHECKED: usize = 112;
/// The version of the file format that is read here.
const VERSION: u8 = 3;
const PRIMARY: u8 = 1;
const UNCLEAN: u8 = 2;
const TWO_PHASE: u8 = 4;
/// The greatest page that is read; values have at most 64 MiB.
const LARGEST: u64 = 256 << 20;
/// No tree is deeper; a greater depth is a circle.
const DEEPEST: usize = 64;

/// Where a page is, and the checksum that it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    number: u64,
    check: u128,
}

/// The sizes of keys and values, where all are equal.
#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    key: Option<usize>,
    value: Option<usize>,
}

/// One commit: the roots of the tree of tables and of the engine's own tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commit {
    transaction: u64,
    user: Option<Link>,
    system: Option<Link>,
}

/// The root of one table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root {
    link: Option<Link>,
    shape: Shape,
}

/// A page that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PageFault {
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// What is wrong with it.
    pub(super) what: &'static str,
}

/// The rows of one leaf.
#[derive(Debug)]
pub(super) struct Leaf {
    page: Vec<u8>,
    rows: Vec<(Range<usize>, Range<usize>)>,
}

impl Leaf {
    /// Keys and values, in their order.
    pub(super) fn rows(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        let part = |range: &Range<usize>| self.page.get(range.clone()).unwrap_or_default();
        self.rows
            .iter()
            .map(move |(key, value)| (part(key), part(value)))
    }
}

/// The pages of one file.
#[derive(Debug)]
pub(super) struct Pages {
    file: Arc<dyn StorageBackend>,
    length: u64,
    page: u64,
    region: u64,
    region_head: u64,
    /// Commits whose own checksum fits, the one to be believed first.
    commits: Vec<Commit>,
    /// Whether the last writer did not close the file cleanly.
    unclean: bool,
    /// Bytes of pages that were read.
    read: u64,
    /// The parts of the file that were covered by a checksum, if somebody wants to know.
    pub(super) covered: Option<Vec<Range<u64>>>,
}

impl Pages {
    /// Reads the header.
    ///
    /// # Errors
    /// When it is no file of redb, or none of its commits can be found.
    pub(super) fn open(file: Arc<dyn StorageBackend>) -> Result<Self, BadRow> {
        const UNREADABLE: BadRow = BadRow("its header cannot be read");
        let length = file.len().map_err(|_| UNREADABLE)?;
        let mut header = [0; HEADER_BYTES];
        if length < HEADER_BYTES as u64 || file.read(0, &mut header).is_err() {
            return Err(UNREADABLE);
        }
        if !header.starts_with(&MAGIC) {
            return Err(BadRow("it does not begin as a database"));
        }
        let number = |at: usize| u64::from(u32_at(&header, at).unwrap_or_default());
        let (page, head, most) = (number(12), number(16), number(20));
        if page != 4096 || most == 0 || most > 1 << 20 || head > 1 << 20 {
            return Err(BadRow("its header does not describe pages"));
        }
        let commits = commits(&header);
        if commits.is_empty() {
            return Err(BadRow(
                "none of its commits has the checksum that it must have",
            ));
        }
        Ok(Self {
            file,
            length,
            page,
            region: (head + most) * page,
            region_head: head * page,
            commits,
            unclean: header[MAGIC.len()] & UNCLEAN != 0,
            read: 0,
            covered: None,
        })
    }

    /// The commits, the one to be believed first.
    pub(super) fn commits(&self) -> Vec<Commit> {
        self.commits.clone()
    }

    /// Whether the last writer did not close the file cleanly: the newest commit may be torn then,
    /// and the one before it counts.
    pub(super) fn is_unclean(&self) -> bool {
        self.unclean
    }

    /// Bytes of pages that were read so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read
    }

    /// The length of the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The tables of a commit by name.
    pub(super) fn tables(
        &mut self,
        commit: Commit,
        faults: &mut Vec<PageFault>,
    ) -> Vec<(String, Root)> {
        self.directory(commit.user, faults)
    }

    /// The engine's own tables.
    pub(super) fn system(
        &mut self,
        commit: Commit,
        faults: &mut Vec<PageFault>,
    ) -> Vec<(String, Root)> {
        self.directory(commit.system, faults)
    }

    fn directory(
        &mut self,
        link: Option<Link>,
        faults: &mut Vec<PageFault>,
    ) -> Vec<(String, Root)> {
        let shape = Shape::default();
        let mut tree = Tree::new(Root { link, shape }, None);
        let mut tables = Vec::new();
        while let Some(leaf) = tree.next(self, faults) {
            for (name, definition) in leaf.rows() {
                let name = String::from_utf8_lossy(name).into_owned();
                tables.extend(root_in(definition).map(|root| (name, root)));
            }
        }
        tables
    }

    /// Where a page is in the file; none if it cannot be.
    fn place(&self, number: u64) -> Option<Range<u64>> {
        let order = number >> 59;
        let index = number & (0x000f_ffff_u64 >> order.min(20));
        let region = (number >> 20) & 0x000f_ffff;
        let size = self.page << order.min(20);
        let start = self.page + region * self.region + self.region_head + index * size;
        let end = start + size;
        (order <= 20 && size <= LARGEST && end <= self.length).then_some(start..end)
    }

    fn load(&mut self, place: &Range<u64>) -> Option<Vec<u8>> {
        let size = usize::try_from(place.end - place.start).ok()?;
        let mut page = vec![0; size];
        self.file.read(place.start, &mut page).ok()?;
        self.read += place.end - place.start;
        Some(page)
    }
}

/// A walk over the leaves of a table, in order.
#[derive(Debug)]
pub(super) struct Tree {
    shape: Shape,
    after: Option<Vec<u8>>,
    /// What is still to be read, the next one last; and whether the page that named it was sound.
    stack: Vec<(Link, Trust, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Sound,
    Damaged,
}

impl Tree {
    /// A walk over everything with a key above `after`.
    pub(super) fn new(root: Root, after: Option<Vec<u8>>) -> Self {
        let first = root.link.map(|link| (link, Trust::Sound, 0));
        Self {
            shape: root.shape,
            after,
            stack: first.into_iter().collect(),
        }
    }

    /// The next leaf; damage on the way is noted.
    pub(super) fn next(&mut self, pages: &mut Pages, faults: &mut Vec<PageFault>) -> Option<Leaf> {
        loop {
            let (link, trust, depth) = self.stack.pop()?;
            let Some(place) = pages.place(link.number).filter(|_| depth < DEEPEST) else {
                let what = "a page that cannot be in this file";
                faults.extend((trust == Trust::Sound).then_some(PageFault { offset: 0, what }));
                continue;
            };
            let offset = place.start;
            let Some(page) = pages.load(&place) else {
                let what = "a page that the disk does not read";
                faults.push(PageFault { offset, what });
                continue;
            };
            let used = used(&page, self.shape).unwrap_or_default();
            let is_sound = !used.is_empty() && XxHash3_128::oneshot(used) == link.check;
            if !is_sound {
                if trust == Trust::Damaged {
                    continue;
                }
                let what = "a page whose checksum does not fit";
                faults.push(PageFault { offset, what });
            } else if let Some(covered) = &mut pages.covered {
                covered.push(offset..offset + used.len() as u64);
            }
            let trust = if is_sound {
                Trust::Sound
            } else {
                Trust::Damaged
            };
            match page.first() {
                Some(2) => self.descend(&page, trust, depth),
                Some(1) => return Some(self.leaf(page)),
                _ => {}
            }
        }
    }

    /// Puts the children of an inner page on the stack, as far as they can hold what is wanted.
    fn descend(&mut self, page: &[u8], trust: Trust, depth: usize) {
        let Some(keys) = u16_at(page, 2) else {
            return;
        };
        let children = usize::from(keys) + 1;
        let first = match (&self.after, trust) {
            (Some(after), Trust::Sound) => (0..usize::from(keys))
                .take_while(|n| {
                    branch_key(page, *n, self.shape).is_some_and(|key| key <= after.as_slice())
                })
                .count(),
            _ => 0,
        };
        for n in (first..children).rev() {
            let check = page.get(8 + 16 * n..).and_then(<[u8]>::first_chunk);
            let number = page.get(8 + 16 * children + 8 * n..);
            let number = number.and_then(<[u8]>::first_chunk);
            if let (Some(check), Some(number)) = (check, number) {
                let link = Link {
                    number: u64::from_le_bytes(*number),
                    check: u128::from_le_bytes(*check),
                };
                self.stack.push((link, trust, depth + 1));
            }
        }
    }

    fn leaf(&self, page: Vec<u8>) -> Leaf {
        let count = u16_at(&page, 2).unwrap_or_default();
        let wanted = |key: &Range<usize>| match (&self.after, page.get(key.clone())) {
            (Some(after), Some(key)) => key > after.as_slice(),
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let rows = (0..usize::from(count))
            .filter_map(|n| pair(&page, n, self.shape))
            .filter(|(key, value)| wanted(key) && value.end <= page.len())
            .collect();
        Leaf { page, rows }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let part = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_le_bytes(*part))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let part = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*part))
}

fn end_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, at)?).ok()
}

fn link_at(bytes: &[u8], at: usize) -> Option<Link> {
    let number = bytes.get(at..)?.first_chunk()?;
    let check = bytes.get(at + 8..)?.first_chunk()?;
    Some(Link {
        number: u64::from_le_bytes(*number),
        check: u128::from_le_bytes(*check),
    })
}

/// The commits that the header names, in the order in which the engine would believe them.
fn commits(header: &[u8; HEADER_BYTES]) -> Vec<Commit> {
    let flags = header[MAGIC.len()];
    let primary = usize::from(flags & PRIMARY != 0);
    let mut order = vec![primary];
    if flags & TWO_PHASE == 0 {
        order.push(1 - primary);
    }
    let slots = order
        .into_iter()
        .filter_map(|n| header.get(SLOTS[n].clone()));
    let mut found: Vec<Commit> = slots.filter_map(commit).collect();
    found.sort_by_key(|commit| std::cmp::Reverse(commit.transaction));
    found
}

fn commit(slot: &[u8]) -> Option<Commit> {
    let (checked, check) = slot.split_at_checked(SLOT_CHECKED)?;
    let check = u128::from_le_bytes(*check.first_chunk()?);
    let is_ours = checked.first() == Some(&VERSION) && XxHash3_128::oneshot(checked) == check;
    let root = |flag: usize, at: usize| {
        let is_there = checked.get(flag).is_some_and(|flag| *flag != 0);
        is_there.then(|| link_at(checked, at)).flatten()
    };
    let transaction = checked.get(104..)?.first_chunk()?;
    is_ours.then(|| Commit {
        transaction: u64::from_le_bytes(*transaction),
        user: root(1, 8),
        system: root(2, 40),
    })
}

/// The root in the definition of a table.
fn root_in(definition: &[u8]) -> Option<Root> {
    let fixed = |at: usize| {
        let is_fixed = definition.get(at).is_some_and(|flag| *flag != 0);
        is_fixed.then(|| end_at(definition, at + 1)).flatten()
    };
    let has_root = *definition.get(9)? != 0;
    Some(Root {
        link: has_root.then(|| link_at(definition, 10)).flatten(),
        shape: Shape {
            key: fixed(42),
            value: fixed(47),
        },
    })
}

/// The part of a page that its checksum covers.
fn used(page: &[u8], shape: Shape) -> Option<&[u8]> {
    let last = usize::from(u16_at(page, 2)?).checked_sub(1)?;
    let end = match page.first()? {
        1 => pair(page, last, shape)?.1.end,
        2 => branch_key_place(page, last, shape)?.end,
        _ => return None,
    };
    page.get(..end)
}

/// Where the n-th key and value of a leaf are.
fn pair(page: &[u8], n: usize, shape: Shape) -> Option<(Range<usize>, Range<usize>)> {
    let count = usize::from(u16_at(page, 2)?);
    let ends = |fixed: Option<usize>| if fixed.is_some() { 0 } else { 4 * count };
    let keys = 4 + ends(shape.key) + ends(shape.value);
    let key_end = |n: usize| match shape.key {
        Some(size) => Some(keys + size * (n + 1)),
        None => end_at(page, 4 + 4 * n),
    };
    let values = key_end(count.checked_sub(1)?)?;
    let value_end = |n: usize| match shape.value {
        Some(size) => Some(values + size * (n + 1)),
        None => end_at(page, 4 + ends(shape.key) + 4 * n),
    };
    let from = |start: usize, end: &dyn Fn(usize) -> Option<usize>| match n.checked_sub(1) {
        Some(before) => end(before),
        None => Some(start),
    };
    let key = from(keys, &key_end)?..key_end(n)?;
    let value = from(values, &value_end)?..value_end(n)?;
    (key.start <= key.end && value.start <= value.end).then_some((key, value))
}

fn branch_key_place(page: &[u8], n: usize, shape: Shape) -> Option<Range<usize>> {
    let count = usize::from(u16_at(page, 2)?);
    let ends = 8 + 24 * (count + 1);
    let keys = ends + if shape.key.is_some() { 0 } else { 4 * count };
    let end = |n: usize| match shape.key {
        Some(size) => Some(keys + size * (n + 1)),
        None => end_at(page, ends + 4 * n),
    };
    let start = n.checked_sub(1).map_or(Some(keys), end)?;
    Some(start..end(n)?)
}

fn branch_key(page: &[u8], n: usize, shape: Shape) -> Option<&[u8]> {
    page.get(branch_key_place(page, n, shape)?)
}
