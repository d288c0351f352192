"""Papers behind the networks and the ways to train them, as BibTeX."""

from __future__ import annotations

from medenh.zoo.card import ModelCard

__all__ = ["papers_of"]

_DPE = """@article{sharif2022deep,
  author  = {Sharif, S. M. A. and Naqvi, Rizwan Ali and Biswas, Mithun and
             Loh, Woong-Kee},
  title   = {Deep Perceptual Enhancement for Medical Image Analysis},
  journal = {IEEE Journal of Biomedical and Health Informatics},
  volume  = {26}, number = {10}, pages = {4826--4836}, year = {2022},
  doi     = {10.1109/JBHI.2022.3168604}
}"""
_GRADPROM = """@article{zhang2025generalized,
  author  = {Zhang, Dong and Cheng, Kwang-Ting},
  title   = {Generalized Task-Driven Medical Image Quality Enhancement with
             Gradient Promotion},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  year    = {2025},
  doi     = {10.1109/TPAMI.2025.3525671}
}"""
_HQG = """@article{he2024hqgnet,
  author  = {He, Chunming and Li, Kai and Xu, Guoxia and Yan, Jiangpeng and
             Tang, Longxiang and Zhang, Yulun and Wang, Yaowei and Li, Xiu},
  title   = {{HQG-Net}: Unpaired Medical Image Enhancement With High-Quality Guidance},
  journal = {IEEE Transactions on Neural Networks and Learning Systems},
  volume  = {35}, number = {12}, pages = {18404--18418}, year = {2024},
  doi     = {10.1109/TNNLS.2023.3315307}
}"""
_MAGE = """@article{guo2023bridging,
  author  = {Guo, Erjian and Fu, Huazhu and Zhou, Luping and Xu, Dong},
  title   = {Bridging Synthetic and Real Images: a Transferable and Multiple
             Consistency aided Fundus Image Enhancement Framework},
  journal = {IEEE Transactions on Medical Imaging},
  volume  = {42}, number = {8}, pages = {2189--2199}, year = {2023},
  doi     = {10.1109/TMI.2023.3247783}
}"""
_AGNET = """@inproceedings{zhang2019attention,
  author    = {Zhang, Shihao and Fu, Huazhu and Yan, Yuguang and Zhang, Yubing and
               Wu, Qingyao and Yang, Ming and Tan, Mingkui and Xu, Yanwu},
  title     = {Attention Guided Network for Retinal Image Segmentation},
  booktitle = {Medical Image Computing and Computer Assisted Intervention (MICCAI)},
  year      = {2019}
}"""
_NAFNET = """@inproceedings{chen2022simple,
  author    = {Chen, Liangyu and Chu, Xiaojie and Zhang, Xiangyu and Sun, Jian},
  title     = {Simple Baselines for Image Restoration},
  booktitle = {European Conference on Computer Vision (ECCV)},
  year      = {2022}
}"""
_RESNET = """@inproceedings{he2016deep,
  author    = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  title     = {Deep Residual Learning for Image Recognition},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {770--778}, year = {2016}
}"""
_SRRESNET = """@inproceedings{ledig2017photo,
  author    = {Ledig, Christian and others},
  title     = {Photo-Realistic Single Image Super-Resolution Using a Generative
               Adversarial Network},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2017}
}"""
_STILLGAN = """@article{ma2021structure,
  author  = {Ma, Yuhui and others},
  title   = {Structure and Illumination Constrained {GAN} for Medical Image
             Enhancement},
  journal = {IEEE Transactions on Medical Imaging},
  volume  = {40}, number = {12}, pages = {3955--3967}, year = {2021},
  doi     = {10.1109/TMI.2021.3101937}
}"""
_UNET = """@inproceedings{ronneberger2015unet,
  author    = {Ronneberger, Olaf and Fischer, Philipp and Brox, Thomas},
  title     = {{U-Net}: Convolutional Networks for Biomedical Image Segmentation},
  booktitle = {Medical Image Computing and Computer-Assisted Intervention (MICCAI)},
  pages     = {234--241}, year = {2015},
  doi       = {10.1007/978-3-319-24574-4_28}
}"""
_BILATERAL = """@article{gharbi2017deep,
  author  = {Gharbi, Micha{\\"e}l and Chen, Jiawen and Barron, Jonathan T. and
             Hasinoff, Samuel W. and Durand, Fr{\\'e}do},
  title   = {Deep Bilateral Learning for Real-Time Image Enhancement},
  journal = {ACM Transactions on Graphics},
  volume  = {36}, number = {4}, pages = {118:1--118:12}, year = {2017},
  doi     = {10.1145/3072959.3073592}
}"""
_CLAHE = """@incollection{zuiderveld1994contrast,
  author    = {Zuiderveld, Karel},
  title     = {Contrast Limited Adaptive Histogram Equalization},
  booktitle = {Graphics Gems IV},
  publisher = {Academic Press},
  pages     = {474--485}, year = {1994}
}"""
_BEN_GRAHAM = """@techreport{graham2015kaggle,
  author      = {Graham, Ben},
  title       = {Kaggle Diabetic Retinopathy Detection Competition Report},
  institution = {University of Warwick},
  year        = {2015}
}"""
_LIME = """@article{guo2017lime,
  author  = {Guo, Xiaojie and Li, Yu and Ling, Haibin},
  title   = {{LIME}: Low-Light Image Enhancement via Illumination Map Estimation},
  journal = {IEEE Transactions on Image Processing},
  volume  = {26}, number = {2}, pages = {982--993}, year = {2017},
  doi     = {10.1109/TIP.2016.2639450}
}"""
_NLM = """@inproceedings{buades2005nonlocal,
  author    = {Buades, Antoni and Coll, Bartomeu and Morel, Jean-Michel},
  title     = {A Non-Local Algorithm for Image Denoising},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  volume    = {2}, pages = {60--65}, year = {2005},
  doi       = {10.1109/CVPR.2005.38}
}"""
_BAYES_SHRINK = """@article{chang2000adaptive,
  author  = {Chang, S. Grace and Yu, Bin and Vetterli, Martin},
  title   = {Adaptive Wavelet Thresholding for Image Denoising and Compression},
  journal = {IEEE Transactions on Image Processing},
  volume  = {9}, number = {9}, pages = {1532--1546}, year = {2000},
  doi     = {10.1109/83.862633}
}"""
_CYCLE_SPINNING = """@incollection{coifman1995translation,
  author    = {Coifman, Ronald R. and Donoho, David L.},
  title     = {Translation-Invariant De-Noising},
  booktitle = {Wavelets and Statistics},
  publisher = {Springer},
  pages     = {125--150}, year = {1995},
  doi       = {10.1007/978-1-4612-2544-7_9}
}"""

_OF_METHOD = {
    "ben-graham": (_BEN_GRAHAM,),
    "clahe": (_CLAHE,),
    "lime": (_LIME,),
    "nlm": (_NLM,),
    "wavelet": (_BAYES_SHRINK, _CYCLE_SPINNING),
}
_OF_ARCHITECTURE = {
    "agnet": (_AGNET,),
    "classifier": (_UNET,),
    "dpe": (_DPE,),
    "dpe-plus": (_DPE,),
    "fieldnet": (_BILATERAL, _UNET),
    "hqg": (_HQG,),
    "hqg-legacy": (_HQG,),
    "mage": (_MAGE,),
    "nafnet": (_NAFNET,),
    "resnet": (_RESNET,),
    "srresnet": (_SRRESNET,),
    "stillgan": (_STILLGAN,),
    "unet": (_UNET,),
}
_PROMOTING = ("hard", "soft", "layer")  # GradProm's rules; sum and project are older


def papers_of(card: ModelCard) -> tuple[str, ...]:
    """Return the papers of a method, or of a network and its training, as BibTeX.

    Examples
    --------
    >>> from medenh.zoo.manifest import resolve
    >>> [paper.partition(",")[0] for paper in papers_of(resolve("dpe-general").card)]
    ['@article{sharif2022deep']
    """
    if card.is_classical:
        return _OF_METHOD.get(card.id, ())
    papers = _OF_ARCHITECTURE.get(card.architecture, ())
    config = None if card.training is None else card.training.config
    promote = config.get("promote") if isinstance(config, dict) else None
    if isinstance(promote, dict) and promote.get("rule") in _PROMOTING:
        papers = (_GRADPROM, *papers)
    return papers
