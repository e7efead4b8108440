//! Which of many items can go: the fewest questions that find it out.
//!
//! Each question is a replay, so they are what is saved. Items are asked about in runs, as in group testing (Hwang's
//! generalised binary splitting): a run as long as what has been learnt so far lets one hope to lose at once; where it has to
//! stay, halving finds the first item in it that is needed, and everything before that goes on the way.

/// Finds items that are needed, of `count`, and loses the others.
///
/// `holds` is asked whether the failure is still there with only these items; what it says `true` to stays so, and after `None`
/// nothing more is asked. `locked` items are kept without a question. The answer is what is kept, in order.
pub fn delete(
    count: usize,
    locked: &dyn Fn(usize) -> bool,
    holds: &mut dyn FnMut(&[usize]) -> Option<bool>,
) -> Vec<usize> {
    let open: Vec<usize> = (0..count).filter(|at| !locked(*at)).collect();
    let mut gone = vec![false; count];
    let mut stopped = false;
    // Asks whether more can go, and has it go.
    let mut lose = |run: &[usize]| {
        let mut less = gone.clone();
        run.iter().for_each(|at| less[*at] = true);
        let kept: Vec<usize> = (0..count).filter(|at| !less[*at]).collect();
        let answer = holds(&kept);
        if answer == Some(true) {
            gone = less;
        }
        answer
    };
    // What is needed stands together more often than not. Behind what goes more goes: twice as much is asked about at least; and
    // behind what is needed more is: a quarter at most.
    let (mut at, mut needed, mut least, mut most) = (0, 0, 0, usize::MAX);
    while at < open.len() {
        let run = run_len(open.len() - at, at, needed).max(least).min(most).min(open.len() - at);
        match lose(&open[at..at + run]) {
            Some(true) => {
                at += run;
                (least, most) = (run * 2, usize::MAX);
                continue;
            }
            Some(false) => {}
            None => break,
        }
        // So many of the run can go, so many cannot.
        let (mut yes, mut no) = (0, run);
        while no - yes > 1 && !stopped {
            let middle = yes.midpoint(no);
            match lose(&open[at..at + middle]) {
                Some(true) => yes = middle,
                Some(false) => no = middle,
                None => stopped = true,
            }
        }
        if stopped {
            break;
        }
        (least, most) = (0, if yes == 0 { (run / 4).max(1) } else { usize::MAX });
        needed += 1;
        at += no;
    }
    (0..count).filter(|at| !gone[*at]).collect()
}

/// How many items to ask about next, where `seen` have been asked about and `needed` of these are.
fn run_len(left: usize, seen: usize, needed: usize) -> usize {
    // Nothing is known at first: two of all, which is wrong by one question a factor of two.
    let density = (needed as f64 + 1.0) / (seen as f64 + 2.0);
    let expected = if seen == 0 { 2.0 } else { (density * left as f64).max(1.0) };
    let odds = (left as f64 - expected + 1.0) / expected;
    if odds < 2.0 { 1 } else { (1_usize << odds.log2() as u32).min(left) }
}

/// The smallest number from `low` to `high` that holds; `high` is known to.
pub fn smallest(low: u64, high: u64, holds: &mut dyn FnMut(u64) -> bool) -> u64 {
    if low >= high || holds(low) {
        return low.min(high);
    }
    let (mut no, mut yes) = (low, high);
    while yes - no > 1 {
        let middle = no.midpoint(yes);
        if holds(middle) { yes = middle } else { no = middle }
    }
    yes
}

/// Zeller's ddmin, as a second opinion and to be compared with: subsets, then complements, ever finer.
pub fn ddmin(count: usize, holds: &mut dyn FnMut(&[usize]) -> bool) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..count).collect();
    let mut parts = 2;
    while kept.len() >= 2 {
        let end = |part: usize| part * kept.len() / parts;
        let chunks: Vec<Vec<usize>> = (0..parts).map(|part| kept[end(part)..end(part + 1)].to_vec()).collect();
        if let Some(chunk) = chunks.iter().find(|chunk| chunk.len() < kept.len() && holds(chunk)) {
            kept = chunk.clone();
            parts = 2;
            continue;
        }
        let rests =
            chunks.iter().map(|chunk| kept.iter().copied().filter(|at| !chunk.contains(at)).collect::<Vec<_>>());
        // With two parts the complements are the subsets.
        match rests.filter(|_| chunks.len() > 2).find(|rest| holds(rest)) {
            Some(rest) => {
                kept = rest;
                parts = (parts - 1).max(2);
            }
            None if parts >= kept.len() => break,
            None => parts = (parts * 2).min(kept.len()),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(count: usize, needed: &[usize], questions_max: usize) {
        let mut questions = 0;
        let kept = delete(count, &|_| false, &mut |kept| {
            questions += 1;
            Some(needed.iter().all(|at| kept.contains(at)))
        });
        assert_eq!(kept, needed);
        assert!(questions <= questions_max, "{questions}");
        assert_eq!(ddmin(count, &mut |kept| needed.iter().all(|at| kept.contains(at))), needed);
    }

    #[test]
    fn what_is_needed_is_found_with_few_questions() {
        check(60, &[3, 31, 59], 20);
        check(60, &[59], 12);
        check(1000, &[500, 501], 30);
        check(1, &[0], 1);
        check(8, &[0, 1, 2, 3, 4, 5, 6, 7], 9);
    }

    #[test]
    fn what_is_locked_stays_without_a_question() {
        let kept = delete(4, &|at| at == 2, &mut |_| Some(true));
        assert_eq!(kept, [2]);
        assert_eq!(delete(2, &|_| true, &mut |_| panic!("nothing is open")), [0, 1]);
        assert_eq!(delete(0, &|_| false, &mut |_| panic!("nothing is there")), [] as [usize; 0]);
    }

    #[test]
    fn nothing_is_asked_once_there_is_no_answer() {
        let mut left = 3;
        let kept = delete(1_000, &|_| false, &mut |kept| {
            assert!(left > 0, "it was told to stop");
            left -= 1;
            (left > 0).then(|| kept.contains(&999))
        });
        assert!(kept.contains(&999) && kept.len() < 1_000);
    }

    #[test]
    fn the_smallest_number_is_found() {
        for wanted in 1..=100 {
            assert_eq!(smallest(1, 100, &mut |number| number >= wanted), wanted);
        }
        assert_eq!(smallest(5, 5, &mut |_| panic!("it is known")), 5);
    }
}
