import java.io.FileInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.Set;

/** Java's PKIX path validation: `Verify root intermediate list`, where the list has a file with a leaf on each line. */
public final class Verify {
    public static void main(String[] arguments) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        X509Certificate root = read(factory, arguments[0]);
        X509Certificate above = read(factory, arguments[1]);
        PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(root, null)));
        parameters.setRevocationEnabled(false);
        CertPathValidator validator = CertPathValidator.getInstance("PKIX");
        int judged = 0;
        for (String name : Files.readAllLines(Path.of(arguments[2]))) {
            judged++;
            X509Certificate leaf = read(factory, name);
            try {
                validator.validate(factory.generateCertPath(List.of(leaf, above)), parameters);
            } catch (CertPathValidatorException refusal) {
                System.out.println(name + ": " + refusal.getMessage() + " " + refusal.getReason());
            }
        }
        System.out.println(judged);
    }

    private static X509Certificate read(CertificateFactory factory, String name) throws Exception {
        try (FileInputStream file = new FileInputStream(name)) {
            return (X509Certificate) factory.generateCertificate(file);
        }
    }
}
