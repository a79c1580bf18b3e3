/* The sum over a ring of buckets, for the proofs alone: a logic function, and what follows from it by induction.
 *
 * The inductions are in scripts/. Each consequence but the first waits for a predicate, so that a prover that looks at
 * the interlock does not drown in sums. The lemmas are proved where STEPS is defined, and only used elsewhere.
 */
#ifndef CLOSEDLOOP_TOTALS_H
#define CLOSEDLOOP_TOTALS_H
#include <stdint.h>

/*@ axiomatic Total {
      logic integer total{L}(uint32_t *ring, integer n) reads ring[0 .. n - 1];
    }

    predicate empty{L}(uint32_t *ring, integer n) = \forall integer k; 0 <= k < n ==> ring[k] == 0;

    predicate differs{K,L}(uint32_t *ring, integer n, integer i) = 0 <= i < n &&
      \forall integer k; 0 <= k < n ==> k != i ==> \at(ring[k],K) == \at(ring[k],L);

    predicate no_more_than{L}(uint32_t *ring, integer n, integer most) =
      \forall integer k; 0 <= k < n ==> ring[k] <= most;
*/

#ifdef STEPS
/*@ axiomatic TotalSteps {
      axiom total_none{L}: \forall uint32_t *ring, integer n; n <= 0 ==> total(ring, n) == 0;
      axiom total_more{L}: \forall uint32_t *ring, integer n;
        0 < n ==> total(ring, n) == total(ring, n - 1) + ring[n - 1];
    }

    lemma total_positive{L}: \forall uint32_t *ring, integer n; 0 <= n ==> 0 <= total(ring, n);

    lemma total_same{K,L}: \forall uint32_t *ring, integer m, integer n;
      (\forall integer k; 0 <= k < m ==> \at(ring[k],K) == \at(ring[k],L)) ==> 0 <= n <= m ==>
      0 <= total{K}(ring, m) ==> // always; named here so that a prover thinks of this m
      total{K}(ring, n) == total{L}(ring, n);
*/
#endif

/*@ lemma total_changed{K,L}: \forall uint32_t *ring, integer i, integer m, integer n;
      differs{K,L}(ring, m, i) ==> 0 <= n <= m ==>
      total{L}(ring, n) == total{K}(ring, n) + (i < n ? \at(ring[i],L) - \at(ring[i],K) : 0);

    lemma total_zero{L}: \forall uint32_t *ring, integer m, integer n;
      empty(ring, m) ==> 0 <= n <= m ==> total(ring, n) == 0;

    lemma total_at_least{L}: \forall uint32_t *ring, integer i, integer n; 0 <= i < n ==> ring[i] <= total(ring, n);

    lemma total_at_most{L}: \forall uint32_t *ring, integer most, integer m, integer n;
      no_more_than(ring, m, most) ==> 0 <= most ==> 0 <= n <= m ==> total(ring, n) <= n * most;
*/

/*@ lemma total_kept{K,L}: \forall uint32_t *ring, integer n; 0 < n &&
      (\forall integer k; 0 <= k < n ==> \at(ring[k],K) == \at(ring[k],L)) ==>
      total{K}(ring, n) == total{L}(ring, n);
*/

/*@ axiomatic Total8 {
      logic integer total8{L}(uint8_t *ring, integer n) reads ring[0 .. n - 1];
    }

    predicate empty8{L}(uint8_t *ring, integer n) = \forall integer k; 0 <= k < n ==> ring[k] == 0;

    predicate differs8{K,L}(uint8_t *ring, integer n, integer i) = 0 <= i < n &&
      \forall integer k; 0 <= k < n ==> k != i ==> \at(ring[k],K) == \at(ring[k],L);
*/

#ifdef STEPS
/*@ axiomatic Total8Steps {
      axiom total8_none{L}: \forall uint8_t *ring, integer n; n <= 0 ==> total8(ring, n) == 0;
      axiom total8_more{L}: \forall uint8_t *ring, integer n;
        0 < n ==> total8(ring, n) == total8(ring, n - 1) + ring[n - 1];
    }

    lemma total8_positive{L}: \forall uint8_t *ring, integer n; 0 <= n ==> 0 <= total8(ring, n);

    lemma total8_same{K,L}: \forall uint8_t *ring, integer m, integer n;
      (\forall integer k; 0 <= k < m ==> \at(ring[k],K) == \at(ring[k],L)) ==> 0 <= n <= m ==>
      0 <= total8{K}(ring, m) ==> // always; named here so that a prover thinks of this m
      total8{K}(ring, n) == total8{L}(ring, n);
*/
#endif

/*@ lemma total8_changed{K,L}: \forall uint8_t *ring, integer i, integer m, integer n;
      differs8{K,L}(ring, m, i) ==> 0 <= n <= m ==>
      total8{L}(ring, n) == total8{K}(ring, n) + (i < n ? \at(ring[i],L) - \at(ring[i],K) : 0);

    lemma total8_zero{L}: \forall uint8_t *ring, integer m, integer n;
      empty8(ring, m) ==> 0 <= n <= m ==> total8(ring, n) == 0;

    lemma total8_at_least{L}: \forall uint8_t *ring, integer i, integer n; 0 <= i < n ==> ring[i] <= total8(ring, n);
*/

/*@ lemma total8_kept{K,L}: \forall uint8_t *ring, integer n; 0 < n &&
      (\forall integer k; 0 <= k < n ==> \at(ring[k],K) == \at(ring[k],L)) ==>
      total8{K}(ring, n) == total8{L}(ring, n);
*/

#endif
