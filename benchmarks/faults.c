/* Counts a process's file operations below one folder, and strikes at one of them.
 *
 * zygote.py preloads it into Python (Linux only). Nothing happens before faults_arm is called, and
 * nothing in the processes that the armed one starts.
 */
#define _GNU_SOURCE
/* The 64-bit names are functions of their own here, so they must not become aliases. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum action { COUNT, KILL_BEFORE, KILL_AFTER, FILL_DISK, KILL_HALFWAY };
enum verdict { CARRY_OUT, REFUSE, CARRY_OUT_HALF, CARRY_OUT_AND_DIE };

static char watched[PATH_MAX];
static long struck;
static int chosen;
static pid_t armed;
static int trace = -1;
static atomic_long operations;
static _Thread_local char concerned[PATH_MAX];

/* `folder` must be absolute and free of symbolic links. */
void faults_arm(const char *folder, long at, int action)
{
    strncpy(watched, folder, sizeof watched - 1);
    struck = at;
    chosen = action;
    atomic_store(&operations, 0);
    armed = getpid();
}

long faults_count(void)
{
    return atomic_load(&operations);
}

/* From now on a line with name and path of each operation counted goes to this file. */
void faults_trace(int file)
{
    trace = file;
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static bool is_armed(void)
{
    return armed != 0 && armed == getpid();
}

static bool is_watched(const char *path)
{
    size_t length = strlen(watched);
    return strncmp(path, watched, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static bool watches_file(int file)
{
    char link[40];
    int kept = errno;
    if (!is_armed())
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, concerned, sizeof concerned - 1);
    concerned[length < 0 ? 0 : length] = '\0';
    errno = kept;
    return is_watched(concerned);
}

static bool watches_path(int folder, const char *path)
{
    if (!is_armed() || path == NULL)
        return false;
    if (path[0] == '/') {
        strncpy(concerned, path, sizeof concerned - 1);
        return is_watched(path);
    }
    /* By the folder that a relative path starts from: ours are not told by what lies below. */
    if (folder != AT_FDCWD)
        return watches_file(folder);
    return getcwd(concerned, sizeof concerned) != NULL && is_watched(concerned);
}

static bool is_for_writing(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT) != 0;
}

static bool makes_file(int folder, const char *path, int flags)
{
    int kept = errno;
    bool makes = (flags & O_TMPFILE) == O_TMPFILE ||
                 ((flags & O_CREAT) != 0 && faccessat(folder, path, F_OK, 0) != 0);
    errno = kept;
    return makes;
}

static bool grows(int file, off_t length)
{
    struct stat status;
    return fstat(file, &status) != 0 || length > status.st_size;
}

static enum verdict judge(const char *name, bool is_concerned, bool needs_space)
{
    if (!is_concerned || (chosen == FILL_DISK && !needs_space))
        return CARRY_OUT;
    long number = atomic_fetch_add(&operations, 1) + 1;
    if (trace >= 0)
        dprintf(trace, "%s %s\n", name, concerned);
    if (chosen == FILL_DISK)
        return number < struck ? CARRY_OUT : REFUSE;
    if (number != struck || chosen == COUNT)
        return CARRY_OUT;
    if (chosen == KILL_BEFORE)
        die();
    return chosen == KILL_AFTER ? CARRY_OUT_AND_DIE : CARRY_OUT_HALF;
}

#define FIND_REAL(type, name, parameters)                                                          \
    static type(*real) parameters;                                                                 \
    if (real == NULL)                                                                              \
        real = (type(*) parameters)dlsym(RTLD_NEXT, #name)

/* `half` is the call that carries out half of the operation; nothing where it has no halves. */
#define OPERATION(type, name, parameters, arguments, is_concerned, needs_space, refused, half)     \
    type name parameters                                                                           \
    {                                                                                              \
        FIND_REAL(type, name, parameters);                                                         \
        enum verdict verdict = judge(#name, is_concerned, needs_space);                            \
        if (verdict == REFUSE) {                                                                   \
            errno = ENOSPC;                                                                        \
            return refused;                                                                        \
        }                                                                                          \
        if (verdict == CARRY_OUT_HALF) {                                                           \
            half;                                                                                  \
            die();                                                                                 \
        }                                                                                          \
        type result = real arguments;                                                              \
        if (verdict == CARRY_OUT_AND_DIE)                                                          \
            die();                                                                                 \
        return result;                                                                             \
    }

#define NOTHING (void)0

#define OPEN_OPERATION(name, parameters, arguments, folder)                                        \
    int name parameters                                                                            \
    {                                                                                              \
        mode_t mode = 0;                                                                           \
        if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) {                          \
            va_list more;                                                                          \
            va_start(more, flags);                                                                 \
            mode = va_arg(more, mode_t);                                                           \
            va_end(more);                                                                          \
        }                                                                                          \
        FIND_REAL(int, name, parameters);                                                          \
        bool is_concerned = is_for_writing(flags) && watches_path(folder, path);                   \
        enum verdict verdict =                                                                     \
            judge(#name, is_concerned, is_concerned && makes_file(folder, path, flags));           \
        if (verdict == REFUSE) {                                                                   \
            errno = ENOSPC;                                                                        \
            return -1;                                                                             \
        }                                                                                          \
        if (verdict == CARRY_OUT_HALF)                                                             \
            die();                                                                                 \
        int result = real arguments;                                                               \
        if (verdict == CARRY_OUT_AND_DIE)                                                          \
            die();                                                                                 \
        return result;                                                                             \
    }

OPEN_OPERATION(open, (const char *path, int flags, ...), (path, flags, mode), AT_FDCWD)
OPEN_OPERATION(open64, (const char *path, int flags, ...), (path, flags, mode), AT_FDCWD)
OPEN_OPERATION(openat, (int folder, const char *path, int flags, ...),
               (folder, path, flags, mode), folder)
OPEN_OPERATION(openat64, (int folder, const char *path, int flags, ...),
               (folder, path, flags, mode), folder)

#define CREATE_OPERATION(name)                                                                     \
    OPERATION(int, name, (const char *path, mode_t mode), (path, mode),                            \
              watches_path(AT_FDCWD, path), makes_file(AT_FDCWD, path, O_CREAT), -1, NOTHING)
CREATE_OPERATION(creat)
CREATE_OPERATION(creat64)

#define STREAM_OPERATION(name)                                                                     \
    OPERATION(FILE *, name, (const char *path, const char *mode), (path, mode),                    \
              strpbrk(mode, "wa+") != NULL && watches_path(AT_FDCWD, path),                        \
              mode[0] != 'r' && makes_file(AT_FDCWD, path, O_CREAT), NULL, NOTHING)
STREAM_OPERATION(fopen)
STREAM_OPERATION(fopen64)

OPERATION(ssize_t, write, (int file, const void *bytes, size_t count), (file, bytes, count),
          watches_file(file), true, -1, real(file, bytes, count / 2))
OPERATION(ssize_t, writev, (int file, const struct iovec *parts, int count), (file, parts, count),
          watches_file(file), true, -1, real(file, parts, count / 2))

#define POSITIONED_WRITE(name, offset_type)                                                        \
    OPERATION(ssize_t, name, (int file, const void *bytes, size_t count, offset_type offset),      \
              (file, bytes, count, offset), watches_file(file), true, -1,                          \
              real(file, bytes, count / 2, offset))
POSITIONED_WRITE(pwrite, off_t)
POSITIONED_WRITE(pwrite64, off64_t)

#define SEND_OPERATION(name, offset_type)                                                          \
    OPERATION(ssize_t, name, (int file, int from, offset_type *offset, size_t count),              \
              (file, from, offset, count), watches_file(file), true, -1,                           \
              real(file, from, offset, count / 2))
SEND_OPERATION(sendfile, off_t)
SEND_OPERATION(sendfile64, off64_t)
OPERATION(ssize_t, copy_file_range,
          (int from, off64_t *start, int file, off64_t *offset, size_t count, unsigned flags),
          (from, start, file, offset, count, flags), watches_file(file), true, -1,
          real(from, start, file, offset, count / 2, flags))

OPERATION(int, ftruncate, (int file, off_t length), (file, length), watches_file(file),
          grows(file, length), -1, NOTHING)
OPERATION(int, ftruncate64, (int file, off64_t length), (file, length), watches_file(file),
          grows(file, length), -1, NOTHING)
OPERATION(int, fallocate, (int file, int mode, off_t offset, off_t length),
          (file, mode, offset, length), watches_file(file), true, -1, NOTHING)
OPERATION(int, fallocate64, (int file, int mode, off64_t offset, off64_t length),
          (file, mode, offset, length), watches_file(file), true, -1, NOTHING)
OPERATION(int, posix_fallocate, (int file, off_t offset, off_t length), (file, offset, length),
          watches_file(file), true, ENOSPC, NOTHING)
OPERATION(int, posix_fallocate64, (int file, off64_t offset, off64_t length),
          (file, offset, length), watches_file(file), true, ENOSPC, NOTHING)
OPERATION(int, fsync, (int file), (file), watches_file(file), false, -1, NOTHING)
OPERATION(int, fdatasync, (int file), (file), watches_file(file), false, -1, NOTHING)

OPERATION(int, rename, (const char *from, const char *to), (from, to), watches_path(AT_FDCWD, to),
          false, -1, NOTHING)
OPERATION(int, renameat, (int folder, const char *from, int other, const char *to),
          (folder, from, other, to), watches_path(other, to), false, -1, NOTHING)
OPERATION(int, renameat2, (int folder, const char *from, int other, const char *to, unsigned flags),
          (folder, from, other, to, flags), watches_path(other, to), false, -1, NOTHING)
OPERATION(int, link, (const char *from, const char *to), (from, to), watches_path(AT_FDCWD, to),
          true, -1, NOTHING)
OPERATION(int, linkat, (int folder, const char *from, int other, const char *to, int flags),
          (folder, from, other, to, flags), watches_path(other, to), true, -1, NOTHING)
OPERATION(int, unlink, (const char *path), (path), watches_path(AT_FDCWD, path), false, -1, NOTHING)
OPERATION(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags),
          watches_path(folder, path), false, -1, NOTHING)
OPERATION(int, rmdir, (const char *path), (path), watches_path(AT_FDCWD, path), false, -1, NOTHING)
OPERATION(int, mkdir, (const char *path, mode_t mode), (path, mode), watches_path(AT_FDCWD, path),
          makes_file(AT_FDCWD, path, O_CREAT), -1, NOTHING)
OPERATION(int, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode),
          watches_path(folder, path), makes_file(folder, path, O_CREAT), -1, NOTHING)
