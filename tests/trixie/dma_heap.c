/* Test only, preloaded: a machine without dma-buf offers one, backed by memfd, so that libcamera's virtual camera runs.

   libcamera's allocator opens a heap under /dev/dma_heap and asks it for buffers with one ioctl; two more name
   them and bracket access by the processor, which plain memory does not need.  C++ allocations are zeroed because libcamera 0.4.0's virtual
   camera leaves the status of its frames unset, and picamera2 drops frames whose status is not 0. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char HEAP[] = "/dev/dma_heap/linux,cma";

static int memory(size_t bytes) {
  int fd = memfd_create("patrol-dma", MFD_CLOEXEC);
  if (fd >= 0 && bytes && ftruncate(fd, (off_t)((bytes + 4095) & ~(size_t)4095)) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

static int opened(const char *symbol, const char *path, int flags, mode_t mode) {
  if (path && strcmp(path, HEAP) == 0) return memory(0);
  int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, symbol);
  return next(path, flags, mode);
}

#define MODE_AFTER(last) va_list rest; va_start(rest, last); mode_t mode = va_arg(rest, mode_t); va_end(rest)

int open(const char *path, int flags, ...) { MODE_AFTER(flags); return opened("open", path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE_AFTER(flags); return opened("open64", path, flags, mode); }

int ioctl(int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  if (request == DMA_HEAP_IOCTL_ALLOC) {
    struct dma_heap_allocation_data *wanted = argument;
    int made = memory(wanted->len);
    if (made < 0) return -1;
    wanted->fd = (unsigned)made;
    return 0;
  }
  if (request == DMA_BUF_IOCTL_SYNC || request == DMA_BUF_SET_NAME_A || request == DMA_BUF_SET_NAME_B) return 0;
  static int (*next)(int, unsigned long, ...);
  if (!next) next = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
  return next(fd, request, argument);
}

void *_Znwm(size_t bytes) {
  void *made = calloc(1, bytes ? bytes : 1);
  if (!made) abort();
  return made;
}
void *_Znam(size_t bytes) { return _Znwm(bytes); }
