// The process's one thread pool and its scratch memory.
//
// A region is a number of tasks. Threads take tasks by an atomic counter, so a thread that the
// machine slows down takes fewer; each output is written by exactly one task, so who took it does
// not show in the bits. Nor may how a region is cut: sums that tasks share are cut by shapes alone.
#pragma once
#include <stddef.h>

/// A task reads `context` and writes the outputs of its index.
typedef void (*martlet_task)(const void *context, size_t index);

/// Runs task(context, i) once for every i below `count` and returns when all are done. `cost` is
/// the region's work in multiply-adds, roughly: little work is done by the caller alone. A region
/// begun inside a task, or while another thread has the pool, runs on its caller.
void martlet_parallel(size_t count, double cost, martlet_task task, const void *context);

/// Threads that a region may have, at the moment; does not wait.
size_t martlet_pool_size(void);

/// Two scratch buffers for each thread, so that a task's does not end its region's.
typedef enum { martlet_scratch_region, martlet_scratch_task, martlet_scratch_slots } martlet_slot;

/// At least `bytes` of page-aligned, uninitialised memory of the calling thread, valid until its
/// next request for the same slot. Kept for reuse, freed when the thread ends. A request larger
/// than what is kept replaces it, so a thread holds no more than its largest request of each slot.
void *martlet_scratch(martlet_slot slot, size_t bytes);
