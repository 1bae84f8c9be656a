// PID 1 of the emulated machine: runs /job/prog with the arguments in /job/args (NUL-separated),
// copies what it prints to Bochs' debug port (0xe9) and its exit status behind it, and switches off.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *p, ssize_t n) {
  for (ssize_t i = 0; i < n; i++) outb(p[i], 0xe9);
}

static void off(void) {
  for (const char *p = "Shutdown"; *p; p++) outb(*p, 0x8900);  // Bochs' own power switch
  for (;;) pause();
}

int main(void) {
  static char args[65536], *argv[1024] = {"/job/prog"}, buf[65536];
  int argc = 1, st = 0, p[2], fd = open("/job/args", O_RDONLY);
  if (ioperm(0xe9, 1, 1) || iopl(3)) return 1;
  mount("proc", "/proc", "proc", 0, 0), mount("sysfs", "/sys", "sysfs", 0, 0);
  mount("dev", "/dev", "devtmpfs", 0, 0), mount("tmp", "/tmp", "tmpfs", 0, 0);
  ssize_t n = fd < 0 ? 0 : read(fd, args, sizeof args - 1);
  for (char *a = args; a < args + n && argc < 1023; a += strlen(a) + 1) argv[argc++] = a;
  if (pipe(p)) off();
  pid_t c = fork();
  if (!c) {
    dup2(p[1], 1), dup2(p[1], 2), close(p[0]), close(p[1]);
    dup2(open("/dev/null", O_RDONLY), 0);
    if (chdir("/job") || iopl(0)) _exit(126);
    char *env[] = {"PATH=/bin", "HOME=/tmp", "TMPDIR=/tmp", "RUST_BACKTRACE=1", 0};
    execve(argv[0], argv, env);
    perror("execve");
    _exit(127);
  }
  close(p[1]);
  say("\n@@BEGIN\n", 9);
  while ((n = read(p[0], buf, sizeof buf)) > 0 || (n < 0 && errno == EINTR)) say(buf, n);
  waitpid(c, &st, 0);
  n = snprintf(buf, sizeof buf, "\n@@EXIT %d\n", WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st));
  say(buf, n);
  off();
}
