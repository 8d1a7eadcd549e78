/* Faults of a machine, for processes that are started with LD_PRELOAD=<this>: a clock that is wrong, a disk
   that is full, and a journal of everything that is written and synced, from which power.py makes what a
   power loss leaves.

   TORTURE_ROOT     the folder whose files are watched
   TORTURE_CONTROL  a file of two 64-bit numbers that may change at any time: nanoseconds that the wall clock
                    is wrong by, and bytes that the disk has left (-1 for no limit)
   TORTURE_JOURNAL  where the journal goes

   A record is written before its effect, so that a process killed between the two leaves a write that was
   not synced, and never one that the journal does not know. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MOST_FILES 65536
#define MAGIC 0x7a3f91c45eb2d806ULL

enum { WRITE = 1, TRUNCATE, SYNC, CREATE, RENAME, UNLINK, SYNC_FOLDER, LINK };

struct control { volatile int64_t clock_ns, space; };
struct record { uint64_t magic, inode, offset; uint32_t length; uint32_t kind; uint64_t check; };

static struct control quiet = {0, -1};
static struct control *control = &quiet;
static char root[PATH_MAX];
static size_t root_length;
static int journal = -1;
static ino_t watched[MOST_FILES];

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("TORTURE_CONTROL"), *folder = getenv("TORTURE_ROOT");
    int fd;
    /* Nothing outlives the world it is in. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (path && (fd = open(path, O_RDWR | O_CLOEXEC)) >= 0) {
        void *page = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (page != MAP_FAILED) control = page;
        close(fd);
    }
    path = getenv("TORTURE_JOURNAL");
    if (path && folder && realpath(folder, root)) {
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        root_length = strlen(root);
        /* High up, where nobody closes it by counting. */
        journal = fcntl(fd, F_DUPFD_CLOEXEC, 900);
        close(fd);
    }
}

static void note(uint32_t kind, ino_t inode, uint64_t offset, const void *data, uint32_t length) {
    struct record head = {MAGIC, inode, offset, length, kind, 0};
    head.check = head.magic ^ head.inode * 31 ^ head.offset * 37 ^ ((uint64_t)length << 32 | kind);
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)data, length}};
    int kept = errno;
    /* One call: appends of several processes do not mix. */
    if (writev(journal, parts, 2) != (ssize_t)(sizeof head + length)) abort();
    errno = kept;
}

/* The path within the root, empty for the root itself; 0 if it is elsewhere. */
static int is_inside(int folder, const char *path, char *found) {
    char whole[PATH_MAX * 2];
    if (journal < 0 || !path) return 0;
    if (path[0] == '/') snprintf(whole, sizeof whole, "%s", path);
    else if (folder == AT_FDCWD) {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here)) return 0;
        snprintf(whole, sizeof whole, "%s/%s", here, path);
    } else return 0;
    if (strncmp(whole, root, root_length) || (whole[root_length] && whole[root_length] != '/')) return 0;
    snprintf(found, PATH_MAX, "%s", whole + root_length + (whole[root_length] == '/'));
    return 1;
}

static ino_t inode_of(int fd) {
    struct stat about;
    if (journal < 0 || fd < 0 || fd >= MOST_FILES || !watched[fd]) return 0;
    if (fstat(fd, &about) || about.st_ino != watched[fd]) return watched[fd] = 0;
    return about.st_ino;
}

/* Take what a write up to `end` adds to a file; 0 if the disk has no room for it. */
static int take_space(int fd, off_t end) {
    struct stat about;
    if (control->space < 0 || fstat(fd, &about) || end <= about.st_size) return 1;
    if (__sync_sub_and_fetch(&control->space, end - about.st_size) >= 0) return 1;
    control->space = 0;
    errno = ENOSPC;
    return 0;
}

static int open_file(int folder, const char *path, int flags, mode_t mode) {
    REAL(openat);
    char inside[PATH_MAX];
    struct stat about;
    int is_ours = is_inside(folder, path, inside), is_new = 0, fd = -1;
    if (is_ours && (flags & O_CREAT) && fstatat(folder, path, &about, 0) != 0) {
        if (control->space == 0) { errno = ENOSPC; return -1; }
        /* Of two who make a file at once, one made it. */
        fd = real(folder, path, flags | O_EXCL, mode);
        is_new = fd >= 0;
        if (fd < 0 && (errno != EEXIST || flags & O_EXCL)) return -1;
    }
    if (!is_new) fd = real(folder, path, flags, mode);
    if (fd >= 0 && fd < MOST_FILES) watched[fd] = 0;
    if (fd < 0 || !is_ours || fstat(fd, &about)) return fd;
    if (fd < MOST_FILES) watched[fd] = about.st_ino;
    if (is_new) note(CREATE, about.st_ino, 0, inside, strlen(inside));
    else if ((flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY) note(TRUNCATE, about.st_ino, 0, NULL, 0);
    return fd;
}

#define MODE va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more)
int open(const char *path, int flags, ...) { MODE; return open_file(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE; return open_file(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE; return open_file(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE; return open_file(folder, path, flags, mode); }

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    REAL(pwrite);
    ino_t inode = inode_of(fd);
    if (!inode) return real(fd, data, length, offset);
    if (!take_space(fd, offset + length)) return -1;
    note(WRITE, inode, offset, data, length);
    return real(fd, data, length, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return pwrite(fd, data, length, offset); }

ssize_t write(int fd, const void *data, size_t length) {
    REAL(write);
    ino_t inode = inode_of(fd);
    struct stat about;
    if (!inode) return real(fd, data, length);
    off_t at = lseek(fd, 0, SEEK_CUR);
    if ((fcntl(fd, F_GETFL) & O_APPEND) && !fstat(fd, &about)) at = about.st_size;
    if (!take_space(fd, at + length)) return -1;
    note(WRITE, inode, at, data, length);
    return real(fd, data, length);
}

/* Ways to write that are not watched; who tries them falls back to write(). */
ssize_t sendfile(int out, int in, off_t *offset, size_t count) {
    REAL(sendfile);
    if (!inode_of(out)) return real(out, in, offset, count);
    errno = EINVAL;
    return -1;
}
ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) { return sendfile(out, in, offset, count); }
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t length, unsigned flags) {
    REAL(copy_file_range);
    if (!inode_of(out)) return real(in, from, out, to, length, flags);
    errno = EXDEV;
    return -1;
}

int ftruncate(int fd, off_t length) {
    REAL(ftruncate);
    ino_t inode = inode_of(fd);
    if (inode && !take_space(fd, length)) return -1;
    if (inode) note(TRUNCATE, inode, length, NULL, 0);
    return real(fd, length);
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

static void note_sync(int fd) {
    struct stat about;
    char name[64], path[PATH_MAX], inside[PATH_MAX];
    ssize_t length;
    ino_t inode = inode_of(fd);
    if (!inode || fstat(fd, &about)) return;
    if (!S_ISDIR(about.st_mode)) { note(SYNC, inode, 0, NULL, 0); return; }
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    if ((length = readlink(name, path, sizeof path - 1)) < 0) return;
    path[length] = 0;
    if (is_inside(AT_FDCWD, path, inside)) note(SYNC_FOLDER, inode, 0, inside, strlen(inside));
}
int fsync(int fd) { REAL(fsync); note_sync(fd); return real(fd); }
int fdatasync(int fd) { REAL(fdatasync); note_sync(fd); return real(fd); }

static void note_two(uint32_t kind, const char *from, const char *to) {
    char both[PATH_MAX * 2];
    int length = snprintf(both, sizeof both, "%s%c%s", from, 0, to);
    note(kind, 0, 0, both, length);
}
int rename(const char *from, const char *to) {
    REAL(rename);
    char one[PATH_MAX], two[PATH_MAX];
    if (is_inside(AT_FDCWD, from, one) && is_inside(AT_FDCWD, to, two)) note_two(RENAME, one, two);
    return real(from, to);
}
int link(const char *from, const char *to) {
    REAL(link);
    char one[PATH_MAX], two[PATH_MAX];
    if (is_inside(AT_FDCWD, from, one) && is_inside(AT_FDCWD, to, two)) note_two(LINK, one, two);
    return real(from, to);
}
int unlink(const char *path) {
    REAL(unlink);
    char inside[PATH_MAX];
    if (is_inside(AT_FDCWD, path, inside)) note(UNLINK, 0, 0, inside, strlen(inside));
    return real(path);
}

int clock_gettime(clockid_t which, struct timespec *now) {
    REAL(clock_gettime);
    int failed = real(which, now);
    if (failed || which != CLOCK_REALTIME || !control->clock_ns) return failed;
    int64_t ns = now->tv_sec * 1000000000LL + now->tv_nsec + control->clock_ns;
    now->tv_sec = ns / 1000000000LL;
    now->tv_nsec = ns % 1000000000LL;
    return 0;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    (void)zone;
    int failed = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return failed;
}
time_t time(time_t *told) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (told) *told = exact.tv_sec;
    return exact.tv_sec;
}
