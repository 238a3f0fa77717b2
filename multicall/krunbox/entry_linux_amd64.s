#include "textflag.h"

// The entry point of the process, in place of that of Go's runtime. It opens descriptors 0, 1 and 2
// if they are closed. In PID 1 it also has the kernel read the program's file ahead, hides variables
// of the environment from Go's runtime, and changes the saved group ID and the timer slack.
//
// The kernel starts init with them closed if it finds no console. Go's runtime opens /dev/null for
// each closed one, and aborts before main if it fails. The /dev of a guest's root may be empty, so
// the runtime must find the descriptors open. Here each closed one becomes /dev/null or, if that
// does not exist, and always in PID 1, the root directory opened as a reference only (O_PATH),
// which works in any root. Reads and writes of such a descriptor fail with EBADF, as before. Later,
// when /dev is mounted, init replaces it by the console.
//
// The loop counts up from 0. So the lowest free descriptor, which open(2) returns, is the one that
// was found closed. An ordinary start costs three calls of fcntl(2) and one of getpid(2).
//
// A boot needs pages from all over the file. Read when they are needed, in pieces around each, they
// take a fifth more requests to the host, and the process waits for each. madvise(2) takes no more
// than the read-ahead of the file system, 128 KiB, in one call. Its errors do not matter.
//
// Variables whose names begin with GO are for the workload. GODEBUG, GOGC, GOMEMLIMIT, GOMAXPROCS
// and GOTRACEBACK would also set up the runtime of PID 1, before any code in Go runs. So their first
// byte becomes 1 here, and init gives them to the workload with the G that they had.
//
// A process of the same users and groups may change the limits of another one without a capability,
// prlimit(2): it could have PID 1 killed for its CPU time. So PID 1 has another saved group ID than
// any process. What it executes gets the effective one. All threads inherit it from this one.
//
// The monitor thread of Go's runtime sleeps for 20 µs at a time while others wait in the kernel, as a
// boot does most of the time: a tenth of all instructions of a boot would be its. It may as well wake
// up 10 ms later, with another timer, PR_SET_TIMERSLACK of prctl(2). This thread hands the slack on to
// it. Package exec has the workload start with the ordinary one.

#define SYS_open	2
#define SYS_madvise	28
#define SYS_getpid	39
#define SYS_fcntl	72
#define SYS_setresgid	119
#define SYS_prctl	157
#define F_GETFD		1
#define O_RDWR		2
#define O_PATH		0x200000
#define EBADF		9
#define MADV_WILLNEED	3
#define PR_SET_TIMERSLACK	29
#define SLACK		10000000	// ns
#define NOBODYS		0xFFFFFFFE	// the highest group ID
#define READ_AHEAD	0x20000

// Registers: BX is the descriptor, R12 the process ID. The stack is not used: SP points to argc,
// where the runtime expects it.
TEXT _rt0_krunbox(SB), NOSPLIT|NOFRAME, $0
	MOVL	$SYS_getpid, AX
	SYSCALL
	MOVQ	AX, R12

	CMPL	R12, $1
	JNE	hidden

	MOVL	$SYS_setresgid, AX
	MOVL	$-1, DI
	MOVL	$-1, SI
	MOVL	$NOBODYS, DX
	SYSCALL

	MOVL	$SYS_prctl, AX
	MOVL	$PR_SET_TIMERSLACK, DI
	MOVL	$SLACK, SI
	SYSCALL

	MOVQ	$runtime·text(SB), BX
	ANDQ	$~0xFFF, BX		// the page
ahead:
	MOVL	$SYS_madvise, AX
	MOVQ	BX, DI
	MOVL	$READ_AHEAD, SI
	MOVL	$MADV_WILLNEED, DX
	SYSCALL
	ADDQ	$READ_AHEAD, BX
	MOVQ	$runtime·epclntab(SB), AX
	CMPQ	BX, AX
	JLT	ahead

	MOVQ	0(SP), AX		// argc
	LEAQ	16(SP)(AX*8), DX	// envp, which comes after argv and its NULL
hide:
	MOVQ	(DX), AX
	ADDQ	$8, DX
	TESTQ	AX, AX
	JEQ	hidden
	CMPW	(AX), $0x4F47		// "GO"
	JNE	hide
	MOVB	$1, (AX)
	JMP	hide
hidden:

	XORL	BX, BX
check:
	MOVL	$SYS_fcntl, AX
	MOVL	BX, DI
	MOVL	$F_GETFD, SI
	SYSCALL
	CMPQ	AX, $-EBADF
	JNE	next

	CMPL	R12, $1
	JEQ	reference
	MOVL	$SYS_open, AX
	LEAQ	devNull<>(SB), DI
	MOVL	$O_RDWR, SI
	XORL	DX, DX
	SYSCALL
	TESTQ	AX, AX
	JGE	next
reference:
	MOVL	$SYS_open, AX
	LEAQ	root<>(SB), DI
	MOVL	$O_PATH, SI
	XORL	DX, DX
	SYSCALL
next:
	INCL	BX
	CMPL	BX, $3
	JNE	check

	// The kernel starts processes with all registers zero.
	XORL	AX, AX
	XORL	BX, BX
	XORL	CX, CX
	XORL	DX, DX
	XORL	SI, SI
	XORL	DI, DI
	XORL	R11, R11
	XORL	R12, R12
	JMP	_rt0_amd64_linux(SB)

DATA devNull<>+0(SB)/8, $"/dev/nul"
DATA devNull<>+8(SB)/2, $"l\x00"
GLOBL devNull<>(SB), NOPTR|RODATA, $10

DATA root<>+0(SB)/2, $"/\x00"
GLOBL root<>(SB), NOPTR|RODATA, $2
