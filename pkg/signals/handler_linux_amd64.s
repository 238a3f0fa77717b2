#include "textflag.h"

#define SYS_write	1
#define SYS_rt_sigreturn	15
#define SYS_getpid	39
#define SYS_gettid	186
#define SYS_reboot	169

// handler is called by the kernel, on the signal stack, with the signal in DI, its siginfo_t at SI and the ucontext_t at DX.
// What it changes in registers rt_sigreturn undoes.
TEXT handler<>(SB), NOSPLIT|NOFRAME, $0
	SUBQ	$8, SP
	CMPL	8(SI), $0	// si_code
	JLE	sent
	ORL	$0x80, DI	// fromKernel
sent:
	MOVB	DI, (SP)
	MOVL	$SYS_getpid, AX
	SYSCALL
	MOVL	AX, R8
	MOVL	$SYS_gettid, AX
	SYSCALL
	CMPL	AX, R8
	JEQ	write
	MOVQ	·ordered(SB), AX
	ORQ	AX, 296(DX)	// uc_sigmask: the thread's, once this is over
write:
	MOVL	$SYS_write, AX
	MOVL	·writeEnd(SB), DI
	MOVQ	SP, SI
	MOVL	$1, DX
	SYSCALL
	ADDQ	$8, SP
	RET	// to restorer

// faultHandler leaves to Go what the kernel raised (si_code above 0, see sigaction(2)): only what somebody sent is for the
// pipe.
TEXT faultHandler<>(SB), NOSPLIT|NOFRAME, $0
	CMPL	8(SI), $0	// siginfo_t.si_code
	JLE	sent
	MOVQ	·runtimeHandler(SB), AX
	JMP	AX
sent:
	JMP	handler<>(SB)

// restartHandler ends the machine when the kernel's timer says so (si_code above 0), and for nobody else.
TEXT restartHandler<>(SB), NOSPLIT|NOFRAME, $0
	CMPL	8(SI), $0
	JLE	sent
	MOVL	$SYS_reboot, AX
	MOVL	$0xfee1dead, DI	// LINUX_REBOOT_MAGIC1
	MOVL	$0x28121969, SI	// LINUX_REBOOT_MAGIC2
	MOVL	$0x01234567, DX	// LINUX_REBOOT_CMD_RESTART
	SYSCALL
sent:
	RET

TEXT restorer<>(SB), NOSPLIT|NOFRAME, $0
	MOVL	$SYS_rt_sigreturn, AX
	SYSCALL

// func handlerAddress() uintptr
TEXT ·handlerAddress(SB), NOSPLIT, $0-8
	LEAQ	handler<>(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func faultHandlerAddress() uintptr
TEXT ·faultHandlerAddress(SB), NOSPLIT, $0-8
	LEAQ	faultHandler<>(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func restartHandlerAddress() uintptr
TEXT ·restartHandlerAddress(SB), NOSPLIT, $0-8
	LEAQ	restartHandler<>(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func restorerAddress() uintptr
TEXT ·restorerAddress(SB), NOSPLIT, $0-8
	LEAQ	restorer<>(SB), AX
	MOVQ	AX, ret+0(FP)
	RET
