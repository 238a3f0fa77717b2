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

// Registers: S2 is the descriptor, S3 the process ID. The stack is not used: X2 points to argc,
// where the runtime expects it.
TEXT _rt0_krunbox(SB), NOSPLIT|NOFRAME, $0
	MOV	$SYS_getpid, A7
	ECALL
	MOV	A0, S3

	MOV	$1, T0
	BNE	S3, T0, hidden

	MOV	$SYS_setresgid, A7
	MOV	$-1, A0
	MOV	$-1, A1
	MOV	$NOBODYS, A2
	ECALL

	MOV	$SYS_prctl, A7
	MOV	$PR_SET_TIMERSLACK, A0
	MOV	$SLACK, A1
	ECALL

	MOV	$runtime·text(SB), S2
	MOV	$~0xFFF, T0
	AND	T0, S2		// the page
	MOV	$runtime·epclntab(SB), S4
ahead:
	MOV	$SYS_madvise, A7
	MOV	S2, A0
	MOV	$READ_AHEAD, A1
	MOV	$MADV_WILLNEED, A2
	ECALL
	MOV	$READ_AHEAD, T0
	ADD	T0, S2
	BLT	S2, S4, ahead

	MOV	0(X2), A1	// argc
	SLL	$3, A1
	ADD	X2, A1
	ADD	$16, A1		// envp, which comes after argv and its NULL
hide:
	MOV	(A1), A2
	ADD	$8, A1
	BEQ	A2, ZERO, hidden
	MOVBU	(A2), A3
	MOV	$0x47, T0	// G
	BNE	A3, T0, hide
	MOVBU	1(A2), A3
	MOV	$0x4F, T0	// O
	BNE	A3, T0, hide
	MOV	$1, T0
	MOVB	T0, (A2)
	JMP	hide
hidden:

	MOV	$0, S2
check:
	MOV	$SYS_fcntl, A7
	MOV	S2, A0
	MOV	$F_GETFD, A1
	ECALL
	MOV	$-EBADF, T0
	BNE	A0, T0, next

	MOV	$1, T0
	BEQ	S3, T0, reference
	MOV	$SYS_openat, A7
	MOV	$AT_FDCWD, A0
	MOV	$devNull<>(SB), A1
	MOV	$O_RDWR, A2
	MOV	$0, A3
	ECALL
	BGE	A0, ZERO, next
reference:
	MOV	$SYS_openat, A7
	MOV	$AT_FDCWD, A0
	MOV	$root<>(SB), A1
	MOV	$O_PATH, A2
	MOV	$0, A3
	ECALL
next:
	ADD	$1, S2
	MOV	$3, T0
	BNE	S2, T0, check

	// The kernel starts processes with all registers zero.
	MOV	$0, A0
	MOV	$0, A1
	MOV	$0, A2
	MOV	$0, A3
	MOV	$0, A7
	MOV	$0, S2
	MOV	$0, S3
	MOV	$0, S4
	MOV	$_rt0_riscv64_linux(SB), T0
	JMP	(T0)

DATA devNull<>+0(SB)/8, $"/dev/nul"
DATA devNull<>+8(SB)/2, $"l\x00"
GLOBL devNull<>(SB), NOPTR|RODATA, $10

DATA root<>+0(SB)/2, $"/\x00"
GLOBL root<>(SB), NOPTR|RODATA, $2
