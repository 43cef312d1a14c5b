/* SPDX-License-Identifier: Apache-2.0 */
/* Deliberate faults, one per rule of coherence: the simulator must find each. Not in any program. */
#ifndef BASE_MUTATION_H
#define BASE_MUTATION_H

/* See tests/sim/mutations.c for what each breaks. */
enum mutation { MUTATION_NONE };

#ifdef ECP_MUTATIONS
extern int ecp_mutation;
#define MUTATION(n) (ecp_mutation == (n))
#else
#define MUTATION(n) 0
#endif

#endif
