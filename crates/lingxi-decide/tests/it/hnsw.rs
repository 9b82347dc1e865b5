//! The index finds what an exact search finds, is the same for a seed, and survives a broken file.

use crate::shop::{clustered, source};
use lingxi_data::{Fingerprint, ItemId};
use lingxi_decide::{DecideError, HnswConfig, HnswIndex, recalls_at};

fn build(rows: &[f32], dim: usize) -> HnswIndex {
    HnswIndex::build(rows, dim, &HnswConfig::default(), source()).unwrap()
}

/// The mean recall@k over some queries.
fn mean_recall_at(index: &HnswIndex, queries: &[f32], k: usize) -> f64 {
    let recalls = recalls_at(index, queries, k);
    recalls.iter().sum::<f64>() / recalls.len() as f64
}

#[test]
fn nearly_all_of_the_true_neighbours_are_found() {
    let rows = clustered(6000, 24, 3);
    let index = build(&rows, 24);
    let queries = clustered(200, 24, 4);
    let recall = mean_recall_at(&index, &queries, 50);
    assert!(recall > 0.97, "recall@50 {recall}");
    let own = mean_recall_at(&index, &rows[..24 * 200], 10);
    assert!(own > 0.99, "recall@10 of the goods themselves {own}");
}

#[test]
fn goods_with_one_text_are_found_together_however_many_they_are() {
    let mut rows = clustered(300, 8, 5);
    let row: Vec<f32> = rows[..8].to_vec();
    (0..500).for_each(|_| rows.extend_from_slice(&row));
    let index = build(&rows, 8);
    let found = index.search(&row, 501);
    assert!(found.iter().all(|(item, s)| (item.0 == 0 || item.0 >= 300) && *s > 0.9999), "{found:?}");
    assert_eq!(index.neighbours(ItemId(0), 3).iter().map(|n| n.0.0).collect::<Vec<_>>(), [300, 301, 302]);
    assert!(mean_recall_at(&index, &rows[8..80], 20) > 0.99);
}

#[test]
fn the_number_of_threads_does_not_change_the_index() {
    let rows = clustered(3000, 12, 6);
    let with =
        |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| build(&rows, 12));
    assert!(with(1) == with(4));
}

#[test]
fn an_item_without_a_vector_is_never_found_and_odd_queries_find_nothing() {
    let mut rows = clustered(50, 4, 7);
    rows[8..12].fill(0.0);
    let index = build(&rows, 4);
    assert_eq!(index.len(), 49);
    assert!(index.search(&rows[..4], 60).iter().all(|(item, _)| item.0 != 2));
    assert!(index.neighbours(ItemId(2), 5).is_empty() && index.neighbours(ItemId(99), 5).is_empty());
    for odd in [vec![0.0; 4], vec![f32::NAN; 4], vec![f32::INFINITY; 4], vec![1.0; 3], vec![]] {
        assert!(index.search(&odd, 5).is_empty(), "{odd:?}");
    }
    assert_eq!(index.search(&[1e20, 1e20, 0.0, 0.0], 5).len(), 5);
}

#[test]
fn nothing_can_be_indexed_and_searched() {
    let index = build(&[], 4);
    assert!(index.is_empty() && index.search(&[1.0, 0.0, 0.0, 0.0], 5).is_empty());
    let dir = tempfile::tempdir().unwrap();
    index.save(dir.path()).unwrap();
    assert!(HnswIndex::load(dir.path(), source(), &HnswConfig::default()).unwrap() == index);
    assert!(build(&[1.0, 2.0], 2).search(&[1.0, 0.0], 5).len() == 1);
}

#[test]
fn wrong_shapes_and_settings_are_named() {
    let config = HnswConfig::default();
    let message =
        |rows: &[f32], dim, config: &HnswConfig| HnswIndex::build(rows, dim, config, source()).unwrap_err().to_string();
    assert!(message(&[1.0; 7], 3, &config).contains("rows of 3"));
    assert!(message(&[1.0; 7], 0, &config).contains("rows of 0"));
    assert!(message(&[1.0, f32::NAN], 1, &config).contains("row 1"));
    assert!(message(&[1.0], 1, &HnswConfig { links: 1, ..config }).contains("links"));
    assert!(message(&[1.0], 1, &HnswConfig { search_width: 0, ..config }).contains("search_width"));
}

#[test]
fn an_index_comes_back_from_disk_and_another_ones_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let index = build(&clustered(400, 8, 8), 8);
    index.save(dir.path()).unwrap();
    let config = HnswConfig::default();
    assert!(HnswIndex::load(dir.path(), source(), &config).unwrap() == index);
    let wider = HnswConfig { search_width: 500, ..config };
    assert_eq!(HnswIndex::load(dir.path(), source(), &wider).unwrap().config(), &wider);
    let other = Fingerprint::of([b"other".as_slice()]);
    let denser = HnswConfig { links: 24, ..config };
    for refused in [HnswIndex::load(dir.path(), other, &config), HnswIndex::load(dir.path(), source(), &denser)] {
        assert!(matches!(refused, Err(DecideError::OtherIndex { .. })));
    }
    assert!(HnswIndex::load(&dir.path().join("nowhere"), source(), &config).is_err());
}

#[test]
fn a_broken_file_is_an_error_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    build(&clustered(60, 4, 9), 4).save(dir.path()).unwrap();
    let path = dir.path().join("hnsw.safetensors");
    let whole = std::fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(37) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x55;
        for broken in [flipped, whole[..at].to_vec()] {
            std::fs::write(&path, broken).unwrap();
            assert!(HnswIndex::load(dir.path(), source(), &HnswConfig::default()).is_err(), "byte {at}");
        }
    }
}
