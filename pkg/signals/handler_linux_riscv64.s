#include "textflag.h"

#define SYS_write	64
#define SYS_getpid	172
#define SYS_gettid	178
#define SYS_reboot	142

// handler is called by the kernel, on the signal stack, with the signal in A0, its siginfo_t at A1, the ucontext_t at A2, and
// the address of its rt_sigreturn in RA. What it changes in other registers rt_sigreturn undoes.
TEXT handler<>(SB), NOSPLIT|NOFRAME, $0
	ADD	$-16, X2
	MOVW	8(A1), T0	// si_code
	BLEZ	T0, sent
	OR	$0x80, A0	// fromKernel
sent:
	MOVB	A0, 0(X2)
	MOV	$SYS_getpid, A7
	ECALL
	MOV	A0, T0
	MOV	$SYS_gettid, A7
	ECALL
	BEQ	A0, T0, write
	MOV	·ordered(SB), T0
	MOV	40(A2), T1	// uc_sigmask: the thread's, once this is over
	OR	T0, T1
	MOV	T1, 40(A2)
write:
	MOVW	·writeEnd(SB), A0
	MOV	X2, A1
	MOV	$1, A2
	MOV	$SYS_write, A7
	ECALL
	ADD	$16, X2
	RET

// faultHandler leaves to Go what the kernel raised (si_code above 0, see sigaction(2)): only what somebody sent is for the
// pipe.
TEXT faultHandler<>(SB), NOSPLIT|NOFRAME, $0
	MOVW	8(A1), T0	// siginfo_t.si_code
	BLEZ	T0, sent
	MOV	·runtimeHandler(SB), T0
	JMP	(T0)
sent:
	JMP	handler<>(SB)

// restartHandler ends the machine when the kernel's timer says so (si_code above 0), and for nobody else.
TEXT restartHandler<>(SB), NOSPLIT|NOFRAME, $0
	MOVW	8(A1), T0
	BLEZ	T0, sent
	MOV	$0xfee1dead, A0	// LINUX_REBOOT_MAGIC1
	MOV	$0x28121969, A1	// LINUX_REBOOT_MAGIC2
	MOV	$0x01234567, A2	// LINUX_REBOOT_CMD_RESTART
	MOV	$SYS_reboot, A7
	ECALL
sent:
	RET

// func handlerAddress() uintptr
TEXT ·handlerAddress(SB), NOSPLIT, $0-8
	MOV	$handler<>(SB), A0
	MOV	A0, ret+0(FP)
	RET

// func faultHandlerAddress() uintptr
TEXT ·faultHandlerAddress(SB), NOSPLIT, $0-8
	MOV	$faultHandler<>(SB), A0
	MOV	A0, ret+0(FP)
	RET

// func restartHandlerAddress() uintptr
TEXT ·restartHandlerAddress(SB), NOSPLIT, $0-8
	MOV	$restartHandler<>(SB), A0
	MOV	A0, ret+0(FP)
	RET

// func restorerAddress() uintptr
TEXT ·restorerAddress(SB), NOSPLIT, $0-8
	MOV	ZERO, ret+0(FP)
	RET
