// What PCIDiscovery needs from libpciaccess in a form that Swift imports.
#ifndef CPCIACCESS_SHIM_H
#define CPCIACCESS_SHIM_H

#include <pciaccess.h>
#include <stddef.h>
#include <stdint.h>

// One 32-bit access to a mapped register. Swift has no volatile, and a compiler may split, repeat
// or drop an ordinary load; a GPU's registers take aligned accesses of 32 bits only.
static inline uint32_t cpciaccess_read32(const void *window, size_t offset) {
  return *(const volatile uint32_t *)((const unsigned char *)window + offset);
}

#endif
