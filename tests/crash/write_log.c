/* Preloaded into a writer: logs what it writes to an index and when that is on the disk, for tests of power cuts.
 *
 * The log is a sequence of records: u64 kind, u64 file, u64 offset, u64 bytes, then the bytes. Kinds: 1 write, 2 write
 * that is on the disk when it returns (O_DSYNC), 3 sync of the file, 4 mark set by the program (the offset is its
 * number), 5 file opened under this number (the bytes are its path), 6 renamed (two paths, a zero byte between).
 * Of the files whose path has ".pqs/" in it, but for locks.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, DURABLE_WRITE = 2, SYNC = 3, MARK = 4, OPENED = 5, RENAMED = 6, MAX_FD = 1024 };
static unsigned char is_data[MAX_FD]; /* 1: file of an index, 2: opened O_DSYNC */
static uint64_t file_of[MAX_FD], files;
static int log_fd = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void record(uint64_t kind, uint64_t file, uint64_t offset, const struct iovec *parts, int count) {
    uint64_t head[4] = {kind, file, offset, 0};
    pthread_mutex_lock(&lock);
    if (log_fd < 0) {
        const char *path = getenv("PQSTORE_WRITE_LOG");
        if (path) log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    }
    for (int i = 0; i < count; i++) head[3] += parts[i].iov_len;
    if (log_fd >= 0) {
        if (syscall(SYS_write, log_fd, head, sizeof head) != sizeof head) abort();
        for (int i = 0; i < count; i++)
            if (syscall(SYS_write, log_fd, parts[i].iov_base, parts[i].iov_len) != (long)parts[i].iov_len) abort();
    }
    pthread_mutex_unlock(&lock);
}

void pqstore_mark(uint64_t number) { record(MARK, 0, number, NULL, 0); }

static void opened(int fd, const char *path, int flags) {
    if (fd < 0 || fd >= MAX_FD) return;
    is_data[fd] = 0;
    if (!strstr(path, ".pqs/") || strstr(path, "lock.mdb") || strstr(path, ".lock") || (flags & O_DIRECTORY)) return;
    if ((flags & O_ACCMODE) == O_RDONLY) return;
    is_data[fd] = (flags & (O_DSYNC | O_SYNC)) ? 2 : 1;
    file_of[fd] = __sync_add_and_fetch(&files, 1);
    struct iovec part = {(void *)path, strlen(path)};
    record(OPENED, file_of[fd], 0, &part, 1);
}

#define OPEN(name)                                                                 \
    int name(const char *path, int flags, ...) {                                   \
        int mode = 0;                                                              \
        if (flags & O_CREAT) { va_list a; va_start(a, flags); mode = va_arg(a, int); va_end(a); } \
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);             \
        int fd = real(path, flags, mode);                                          \
        opened(fd, path, flags);                                                   \
        return fd;                                                                 \
    }
OPEN(open)
OPEN(open64)

static void wrote(int fd, const struct iovec *parts, int count, int64_t offset, ssize_t done) {
    if (fd < 0 || fd >= MAX_FD || !is_data[fd] || done <= 0) return;
    struct iovec copy[1024];
    int used = 0;
    for (size_t left = (size_t)done; left && used < count && used < 1024; used++) {
        copy[used] = parts[used];
        if (copy[used].iov_len > left) copy[used].iov_len = left;
        left -= copy[used].iov_len;
    }
    record(is_data[fd] == 2 ? DURABLE_WRITE : WRITE, file_of[fd], (uint64_t)offset, copy, used);
}

#define PWRITE(name)                                                               \
    ssize_t name(int fd, const void *data, size_t size, off_t offset) {            \
        ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, #name); \
        ssize_t done = real(fd, data, size, offset);                               \
        struct iovec part = {(void *)data, size};                                  \
        wrote(fd, &part, 1, offset, done);                                         \
        return done;                                                               \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define PWRITEV(name)                                                              \
    ssize_t name(int fd, const struct iovec *parts, int count, off_t offset) {     \
        ssize_t (*real)(int, const struct iovec *, int, off_t) = dlsym(RTLD_NEXT, #name); \
        ssize_t done = real(fd, parts, count, offset);                             \
        wrote(fd, parts, count, offset, done);                                     \
        return done;                                                               \
    }
PWRITEV(pwritev)
PWRITEV(pwritev64)

ssize_t write(int fd, const void *data, size_t size) {
    off_t offset = fd >= 0 && fd < MAX_FD && is_data[fd] ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    ssize_t done = real(fd, data, size);
    struct iovec part = {(void *)data, size};
    wrote(fd, &part, 1, offset, done);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    off_t offset = fd >= 0 && fd < MAX_FD && is_data[fd] ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t (*real)(int, const struct iovec *, int) = dlsym(RTLD_NEXT, "writev");
    ssize_t done = real(fd, parts, count);
    wrote(fd, parts, count, offset, done);
    return done;
}

#define FSYNC(name)                                                                \
    int name(int fd) {                                                             \
        int (*real)(int) = dlsym(RTLD_NEXT, #name);                                \
        int failed = real(fd);                                                     \
        if (!failed && fd >= 0 && fd < MAX_FD && is_data[fd]) record(SYNC, file_of[fd], 0, NULL, 0); \
        return failed;                                                             \
    }
FSYNC(fsync)
FSYNC(fdatasync)

int rename(const char *old, const char *new) {
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    int failed = real(old, new);
    if (!failed && strstr(new, ".pqs")) {
        struct iovec parts[2] = {{(void *)old, strlen(old) + 1}, {(void *)new, strlen(new)}};
        record(RENAMED, 0, 0, parts, 2);
    }
    return failed;
}
