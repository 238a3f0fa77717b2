#include "textflag.h"

// The entry point of the process, in place of that of Go's runtime. It opens descriptors 0, 1 and 2
// if they are closed. In PID 1 it also has the kernel read the program's file ahead, hides variables
// of the environment from Go's runtime, and changes the saved group ID and the timer slack:
// entry_linux_amd64.s says why and how.

#define SYS_fcntl	25
#define SYS_openat	56
#define SYS_setresgid	149
#define SYS_prctl	167
#define SYS_getpid	172
#define SYS_madvise	233
#define AT_FDCWD	-100
#define F_GETFD		1
#define O_RDWR		2
#define O_PATH		0x200000
#define EBADF		9
#define MADV_WILLNEED	3
#define PR_SET_TIMERSLACK	29
#define SLACK		10000000	// ns
#define NOBODYS		0xFFFFFFFE	// the highest group ID
#define READ_AHEAD	0x20000

// Registers: R9 is the descriptor, R10 the process ID. The stack is not used: RSP points to argc,
// where the runtime expects it.
TEXT _rt0_krunbox(SB), NOSPLIT|NOFRAME, $0
	MOVD	$SYS_getpid, R8
	SVC
	MOVD	R0, R10

	CMP	$1, R10
	BNE	hidden

	MOVD	$SYS_setresgid, R8
	MOVD	$-1, R0
	MOVD	$-1, R1
	MOVD	$NOBODYS, R2
	SVC

	MOVD	$SYS_prctl, R8
	MOVD	$PR_SET_TIMERSLACK, R0
	MOVD	$SLACK, R1
	SVC

	MOVD	$runtime·text(SB), R9
	AND	$~0xFFF, R9	// the page
	MOVD	$runtime·epclntab(SB), R11
ahead:
	MOVD	$SYS_madvise, R8
	MOVD	R9, R0
	MOVD	$READ_AHEAD, R1
	MOVD	$MADV_WILLNEED, R2
	SVC
	ADD	$READ_AHEAD, R9
	CMP	R11, R9
	BLT	ahead

	MOVD	0(RSP), R0	// argc
	MOVD	RSP, R1
	ADD	R0<<3, R1
	ADD	$16, R1		// envp, which comes after argv and its NULL
	MOVD	$0x4F47, R3	// "GO"
hide:
	MOVD.P	8(R1), R0
	CBZ	R0, hidden
	MOVHU	(R0), R2
	CMP	R3, R2
	BNE	hide
	MOVD	$1, R2
	MOVB	R2, (R0)
	B	hide
hidden:

	MOVD	$0, R9
check:
	MOVD	$SYS_fcntl, R8
	MOVD	R9, R0
	MOVD	$F_GETFD, R1
	SVC
	CMN	$EBADF, R0
	BNE	next

	CMP	$1, R10
	BEQ	reference
	MOVD	$SYS_openat, R8
	MOVD	$AT_FDCWD, R0
	MOVD	$devNull<>(SB), R1
	MOVD	$O_RDWR, R2
	MOVD	$0, R3
	SVC
	CMP	$0, R0
	BGE	next
reference:
	MOVD	$SYS_openat, R8
	MOVD	$AT_FDCWD, R0
	MOVD	$root<>(SB), R1
	MOVD	$O_PATH, R2
	MOVD	$0, R3
	SVC
next:
	ADD	$1, R9
	CMP	$3, R9
	BNE	check

	// The kernel starts processes with all registers zero.
	MOVD	$0, R0
	MOVD	$0, R1
	MOVD	$0, R2
	MOVD	$0, R3
	MOVD	$0, R8
	MOVD	$0, R9
	MOVD	$0, R10
	MOVD	$0, R11
	JMP	_rt0_arm64_linux(SB)

DATA devNull<>+0(SB)/8, $"/dev/nul"
DATA devNull<>+8(SB)/2, $"l\x00"
GLOBL devNull<>(SB), NOPTR|RODATA, $10

DATA root<>+0(SB)/2, $"/\x00"
GLOBL root<>(SB), NOPTR|RODATA, $2
